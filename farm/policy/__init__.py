"""Pure decisions: time and chance are parameters, nothing is awaited."""

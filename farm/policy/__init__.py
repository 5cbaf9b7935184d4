"""Pure decisions: time and randomness are parameters, nothing is awaited."""

"""Where records go: one writer, flush is commit."""

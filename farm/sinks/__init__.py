"""Where the records go: one writer per sink, and what was committed is on the disk."""

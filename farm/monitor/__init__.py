"""Events folded to numbers, and the ways to show them: a live view, plain lines, the log."""

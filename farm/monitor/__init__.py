"""Events folded to numbers, and the ways to show them."""

"""What is read out of a rendered page."""

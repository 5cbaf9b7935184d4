"""Every byte that leaves."""

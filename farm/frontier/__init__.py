"""Leases in Redis: the only room that knows Redis."""

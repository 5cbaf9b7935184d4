"""Leases in Redis: the only package that knows Redis."""

"""Sinks for records: one writer per sink; a committed record is durable."""

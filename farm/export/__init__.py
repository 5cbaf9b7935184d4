"""Stored records: read from any sink, merged to one row an id, and written elsewhere, whole or not at all."""

"""Stored records: read from any sink, merged to one row for each id, and written in another format."""

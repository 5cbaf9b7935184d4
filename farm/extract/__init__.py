"""Fields of a page by a declaration: what to read, where it stands, and what type it has."""

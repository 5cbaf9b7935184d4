"""Extraction from pages: items by a declaration, Markdown and the main text."""

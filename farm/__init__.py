"""A headless-browser crawl farm over a Redis lease queue."""

__version__ = "0.1.0"

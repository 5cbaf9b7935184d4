"""Where a crawl's files are when nothing else is said."""

from pathlib import Path

DEFAULT_CRAWL = "default"
CRAWLS = Path("crawls")
"""The folder of the output folders."""
PRIVATE = ".farm"
"""The folder in an output folder that holds the farm's own files: the lock, the private Redis."""

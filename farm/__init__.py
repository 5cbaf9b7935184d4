"""A headless-browser crawl farm over a Redis lease queue.

`from farm import Farm, Page, Record` is the API; nothing of it is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.api import Farm, FarmError, Summary
    from farm.api import PageRecord as Record

__version__ = "0.1.0"
__all__ = ["Farm", "FarmError", "Record", "Summary", "__version__"]
_PUBLIC = {"Farm": "Farm", "FarmError": "FarmError", "Record": "PageRecord", "Summary": "Summary"}


def __getattr__(name: str) -> Any:
    """Return a name of the API, which is imported with the first of them (PEP 562)."""
    if name in _PUBLIC:
        return getattr(import_module("farm.api"), _PUBLIC[name])
    raise AttributeError(f"module 'farm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

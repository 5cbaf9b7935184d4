"""A headless-browser crawl farm over a Redis lease queue.

`from farm import Farm, Page, Record` is the API; nothing of it is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.api import DeadPage, Farm, FarmError, Page, PageHandled, PageNotRendered, Summary, UsageError
    from farm.api import PageRecord as Record

__version__ = "0.1.0"
__all__ = [
    "DeadPage",
    "Farm",
    "FarmError",
    "Page",
    "PageHandled",
    "PageNotRendered",
    "Record",
    "Summary",
    "UsageError",
    "__version__",
]
_NAMES = {"Record": "PageRecord"}
"""Names of the API that are others inside, where one name has one meaning."""


def __getattr__(name: str) -> Any:
    """Return a name of the API, which is imported with the first of them (PEP 562)."""
    if name in __all__:
        return getattr(import_module("farm.api"), _NAMES.get(name, name))
    raise AttributeError(f"module 'farm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

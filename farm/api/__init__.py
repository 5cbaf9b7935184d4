"""The Python API, imported by `from farm import ...`: the same crawl as `farm run`, in the caller's event loop."""

from farm.api.farm import Farm
from farm.api.page import Page
from farm.api.records import PageRecord
from farm.api.rendering import PageNotRendered
from farm.model.errors import FarmError, UsageError
from farm.model.handling import DeadPage, PageHandled
from farm.sinks.summary import Summary

__all__ = [
    "DeadPage",
    "Farm",
    "FarmError",
    "Page",
    "PageHandled",
    "PageNotRendered",
    "PageRecord",
    "Summary",
    "UsageError",
]

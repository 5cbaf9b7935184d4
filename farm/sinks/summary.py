"""`summary.json`: the results of a run, for scripts; written completely or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from farm.model.crawl import Ledger
from farm.model.errors import OutputUnwritable
from farm.resources.files import write_atomically
from farm.sinks.record import timestamp


@dataclass(frozen=True, slots=True)
class Summary:
    """The fields of `summary.json`, in their order; secrets in `settings` are masked."""

    crawl: str
    started_at: datetime
    finished_at: datetime
    exit_reason: str
    ledger: Ledger
    """That of the crawl, over all nodes."""
    node: str = ""
    written: int = 0
    """How many records this node wrote to its first sink in this run."""
    sinks: Mapping[str, int] = field(default_factory=dict)
    """The same for each sink, by its name."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    pages_per_s: float = 0.0
    first_page_s: float = 0.0
    """How long after the start of the run its first page was there; 0 where none was."""
    cpu_s: float = 0.0
    """CPU time of this node's processes in this run, the browsers' and the private Redis's included."""
    peak_memory_bytes: int = 0
    memory_budget_bytes: int = 0
    loop_lag_ms: Mapping[str, int] = field(default_factory=lambda: {"p99": 0, "longest": 0})
    """The delays of the event loop."""
    recycled: Mapping[str, int] = field(default_factory=lambda: {"contexts": 0, "engines": 0})
    relief: Mapping[str, int] = field(default_factory=dict)
    """How often each measure against tight memory was taken, and `freed_bytes` of all of them."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """The most files that were open, and the least free space where the browsers write."""
    duplicate_content: int = 0
    """How many pages of this run had the same content as an earlier address."""
    throttled: Mapping[str, int] = field(default_factory=dict)
    proxy_bytes: Mapping[str, int] = field(default_factory=dict)
    """The bytes through proxies, and their budget (0: none), over all nodes and runs of the crawl."""
    renderers: Mapping[str, Any] = field(default_factory=dict)
    """The renderers of the crawl's pages, and with `--render auto` how certain their results are."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_summary(path: Path, summary: Summary) -> None:
    """Write the summary to `path` as JSON, whole or not at all. Raises `OutputUnwritable`."""
    values = {one.name: _plain(getattr(summary, one.name)) for one in dataclass_fields(summary)}
    content = orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be written ({error.strerror}); "
            "free some space and check its permissions, or choose another --output"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, float):
        return round(value, 3)
    return dict(value) if isinstance(value, Mapping) else value

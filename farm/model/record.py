"""What a sink keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farm.model.outcome import SkipReason


@dataclass(frozen=True, slots=True)
class Record:
    """One page in a sink: `id` is a function of the crawl and `url`, `fields` are ready for JSON.

    `fields` holds `id` and `url` too and keeps the order in which they are written. `files` are what the record
    names besides: their paths in the output folder, and what is in them.
    """

    id: str
    url: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Skip:
    """A URL that was not visited, and why."""

    url: str
    reason: SkipReason
    referrer: str | None
    depth: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one visit leaves behind; it is committed whole before the visit is acknowledged."""

    records: Sequence[Record] = ()
    skips: Sequence[Skip] = ()

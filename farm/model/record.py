"""What a visit leaves in a sink."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farm.model.outcome import SkipReason


@dataclass(frozen=True, slots=True)
class Record:
    """One page in a sink: `id` is a function of the crawl and `url`, `fields` are ready for JSON.

    `fields` has `id` and `url` too and keeps the order in which they are written. `files` are the files that the
    record names: their contents by path in the output folder.
    """

    id: str
    url: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Skip:
    """A URL that was not visited, with the reason."""

    url: str
    reason: SkipReason
    referrer: str | None
    depth: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The records and skips of one visit, committed together before the visit is acknowledged."""

    records: Sequence[Record] = ()
    skips: Sequence[Skip] = ()

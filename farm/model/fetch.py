"""What the farm's own requests bring back: robots.txt and sitemaps, fetched without a browser."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.model.egress import GateFailure
from farm.model.outcome import FailureKind


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `url` is where it came from in the end; header names are in lower case.

    `body` is decoded, and empty where it was streamed. `status` is a redirect's where there were too many of
    them. `truncated` says that a cap cut the body.
    """

    url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No answer. `gate` is what the gateway says about it, where it does."""

    kind: FailureKind
    detail: str
    gate: GateFailure | None = None

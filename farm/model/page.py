"""A page as the browser showed it once it had settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it stands in the document: absolute, not yet canonical."""

    url: str
    text: str = ""
    rel: str = ""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """What one visit brought back.

    `redirects` are the URLs that the main request went through, in order, without the final one.
    `timings_ms` has `navigate` and `settle`. `truncated` names what a cap cut (`html`, `text`, `links`).
    """

    final_url: str
    status: int
    headers: Mapping[str, str]
    content_type: str
    title: str = ""
    text: str = ""
    html: str = ""
    links: tuple[Link, ...] = ()
    settled: bool = True
    settle_reason: str = "quiet"
    redirects: tuple[str, ...] = ()
    robots: str = ""
    canonical: str | None = None
    lang: str = ""
    bytes_received: int = 0
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    truncated: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

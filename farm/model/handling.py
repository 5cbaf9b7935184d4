"""The results of the user's code for a page: the items, the followed links, and whether the page is kept."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farm.model.page import Detection, RenderedPage
from farm.model.task import Lease


@dataclass(frozen=True, slots=True)
class FollowedLink:
    """A link that the user's code follows: absolute, not yet canonical.

    `priority` is added to that of a link that is found on the page; `render` says by what its page is to be
    brought, None if the settings say it.
    """

    url: str
    label: str = ""
    priority: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    render: str | None = None


@dataclass(frozen=True, slots=True)
class PageSkipped:
    """The page is not kept; that is no failure."""

    why: str


@dataclass(frozen=True, slots=True)
class PageRetried:
    """The page is visited again, after `delay_s` seconds where that is given; the visit counts as an attempt."""

    why: str
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class PageFailed:
    """The page is given up at once."""

    why: str


@dataclass(frozen=True, slots=True)
class PageHandled:
    """The result of the user's code for a page; `items` are (kind, JSON value) pairs.

    Without a `verdict` the page is kept.
    """

    items: Sequence[tuple[str, Mapping[str, Any]]] = ()
    links: Sequence[FollowedLink] = ()
    verdict: PageSkipped | PageRetried | PageFailed | None = None


@dataclass(frozen=True, slots=True)
class DeadPage:
    """A URL that this node gave up, and why; `attempt` is the last one, from 1."""

    url: str
    reason: str
    detail: str
    attempt: int
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VisitedPage:
    """The visit that is passed to the user's code; before its navigation there is no `page`.

    `live` returns the browser's page, which stays open as long as the code runs.
    """

    lease: Lease
    page: RenderedPage | None
    detection: Detection | None
    live: Callable[[], Awaitable[Any]]

"""A URL to be visited, and the right to visit it now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Meta = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UrlTask:
    """A canonical URL on its way into the frontier.

    `site` is the unit of politeness and isolation: the host, with the port where it is not the scheme's
    default. `depth` counts links from a seed. A higher `priority` (0-9) is leased first. `meta` is
    the user's, comes back in the record and must be JSON. `label` says which of the user's handlers is for the
    page: "" where one follows a link without a label, None if nobody asked for the URL in particular.
    `revision` is how often its page was kept before and is to be replaced. `render` says by what its page is to be
    brought, as `--render` does; None if the settings say it.
    """

    url: str
    site: str
    fingerprint: str
    depth: int = 0
    priority: int = 5
    referrer: str | None = None
    meta: Meta = field(default_factory=dict)
    label: str | None = None
    revision: int = 0
    render: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The exclusive, renewable and fenced right of one slot to visit one URL.

    `attempt` is 1 on the first visit; only faults that count raise it. `throttled` counts how often the
    URL was put off because its site throttled. `token` fences: a settlement with an older one is refused. `alone`
    says that the URL was leased when nodes died: its node holds no other lease until it is settled.
    """

    task: UrlTask
    slot: str
    token: int
    attempt: int = 1
    throttled: int = 0
    alone: bool = False

    @property
    def id(self) -> str:
        """The leased URL's fingerprint, which is its id in the frontier."""
        return self.task.fingerprint

    @property
    def slot_name(self) -> str:
        """The slot's name on its node, without the node and its run: `07` of `node/07.1f2e3d4c`."""
        return self.slot.rpartition("/")[2].partition(".")[0]


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A slot's request for a lease.

    `request_id` is new for every request and the same for every repetition of it: the frontier then gives
    the same lease again, so that a lost reply costs nothing. `site_hint` is the site that the slot's
    context served last; `limit` is the number of pages after which the crawl gives no more leases (0: no limit);
    `egress` names the slot's egress address, where there are several.
    """

    slot: str
    request_id: str
    site_hint: str | None = None
    limit: int = 0
    egress: str = ""


@dataclass(frozen=True, slots=True)
class Idle:
    """No lease now, and why: `empty`, `waiting`, `limit`, `paused`, `draining` or `stopped`.

    `retry_in_s` is when the next request can succeed. `empty` means that the crawl is finished:
    nothing is queued, delayed or leased anywhere.
    """

    reason: str
    retry_in_s: float

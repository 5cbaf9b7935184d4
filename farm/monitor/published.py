"""What a node tells of itself to a view of the whole crawl: its snapshot, cut to a bounded size, now and then.

Nothing is told where nobody looks: of many nodes it would be most of what Redis writes to its disk.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol

import orjson

from farm.model.clock import Clock
from farm.model.event import LastReading, NodesRead, Notice, ProxiesRead, VisitFailed
from farm.monitor.figures import one_line
from farm.monitor.snapshot import SiteView, SlotView, Snapshot

EVERY_S = 2.0
_SLOTS = 200
_SITES = 30
_PROXIES = 30
_EVENTS = 20
_BINS = 120
_NAMES = 50
"""How many entries of a mapping are reported."""
_TEXT = 200
"""How many characters of a text are reported."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node's published snapshot: the fields that a view of all nodes joins.

    `readings` are JSON values by the names of their classes. `now` and `started` are of the node's own clock.
    """

    now: float
    started: float
    slots: tuple[SlotView, ...] = ()
    readings: dict[str, Any] = field(default_factory=dict)
    pages_done: int = 0
    visits_failed: int = 0
    pages_per_s: float = 0.0
    pages_per_s_overall: float = 0.0
    history: tuple[int, ...] = ()
    page_quantiles_ms: tuple[int, ...] = ()
    codes: dict[int, int] = field(default_factory=dict)
    phase_ms: dict[str, float] = field(default_factory=dict)
    bytes_received: int = 0
    bytes_per_s: float = 0.0
    memory_peak_bytes: int = 0
    recycled: dict[str, int] = field(default_factory=dict)
    relieved: dict[str, int] = field(default_factory=dict)
    relieved_bytes: int = 0
    sites: tuple[SiteView, ...] = ()
    other_sites: SiteView | None = None
    failures: tuple[VisitFailed, ...] = ()
    notices: tuple[Notice, ...] = ()


def encoded(snapshot: Snapshot) -> bytes:
    """Return a report as JSON: the most important slots, sites, proxies and events, every text cut."""
    cut = replace(
        snapshot,
        slots=snapshot.slots[:_SLOTS],
        history=snapshot.history[-_BINS:],
        sites=snapshot.sites[:_SITES],
        failures=snapshot.failures[-_EVENTS:],
        notices=snapshot.notices[-_EVENTS:],
    )
    told = {one.name: _plain(getattr(cut, one.name)) for one in fields(NodeReport) if one.name != "readings"}
    told["readings"] = {
        type(one).__name__: _plain(_cut(one))
        for one in snapshot.readings.values()
        # What is known of the other nodes the reader knows by itself.
        if not isinstance(one, NodesRead)
    }
    return orjson.dumps(told)


def _cut(reading: LastReading) -> LastReading:
    if isinstance(reading, ProxiesRead):
        return replace(reading, proxies=reading.proxies[:_PROXIES])
    return reading


def _plain(value: Any) -> Any:
    """Return a JSON value, with texts and mappings cut."""
    if isinstance(value, str):
        return one_line(value)[:_TEXT]
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {one_line(str(name))[:_TEXT]: _plain(one) for name, one in [*value.items()][:_NAMES]}
    if isinstance(value, Sequence):
        return [_plain(one) for one in value]
    return value


class ReportStore(Protocol):
    """The store of the nodes' reports."""

    async def is_watched(self) -> bool:
        """Whether somebody reads reports."""
        ...

    async def publish(self, node: str, report: bytes, /) -> None:
        """Store a report."""
        ...

    async def wanted(self, node: str, /) -> int | None:
        """Return how many contexts are wanted of the node by hand, None for no change."""
        ...


class ReportPublisher:
    """Publishes the snapshots of `source`, and passes on how many contexts the user wants."""

    def __init__(
        self,
        node: str,
        source: Callable[[float], Snapshot],
        store: ReportStore,
        want: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self._node = node
        self._source = source
        self._store = store
        self._want = want
        self._clock = clock

    async def publish(self) -> None:
        """Publish once, if somebody looks; pass on what is wanted all the same."""
        if await self._store.is_watched():
            await self._store.publish(self._node, encoded(self._source(self._clock.monotonic())))
        wanted = await self._store.wanted(self._node)
        if wanted is not None:
            self._want(wanted)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.publish()

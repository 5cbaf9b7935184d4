"""A view of a whole crawl: the last reports of its nodes, joined into one snapshot.

Anybody could have written a report to Redis: invalid ones are left out. Times in it are of its node's clock, and
are converted to this one's when it is first read.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson
from pydantic import TypeAdapter

from farm.model import event as events
from farm.model.crawl import NodeSeen, Stats
from farm.model.egress import ProxyBytes
from farm.model.event import (
    AdmissionSet,
    FlowRead,
    LastReading,
    LoopLagRead,
    MemoryRead,
    Notice,
    ProcessorRead,
    ProxyBytesRead,
    Reclaimed,
)
from farm.monitor.figures import one_line, size
from farm.monitor.joined import join
from farm.monitor.progress import ProgressMeter
from farm.monitor.published import NodeReport
from farm.monitor.snapshot import NodeView, Snapshot
from farm.monitor.tally import NOTICES

_KINDS: dict[str, type[LastReading]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, LastReading) and kind is not LastReading
}


_MOST = 1e18
_OF_WORK = frozenset({AdmissionSet, FlowRead, LoopLagRead, MemoryRead, ProcessorRead})
"""Readings that say nothing about a node that has ended."""


def decoded(report: bytes, now: float) -> Snapshot | None:
    """Return the snapshot of a report, its times converted to a clock that is at `now`; None if it is invalid."""
    try:
        # Which takes no NaN, and no number that is infinite.
        if not _are_told(orjson.loads(report)):
            return None
        told = _adapter(NodeReport).validate_json(report, strict=True)
        readings = {
            _KINDS[name]: _adapter(_KINDS[name]).validate_json(orjson.dumps(one), strict=True)
            for name, one in told.readings.items()
            if name in _KINDS
        }
    except (ValueError, RecursionError):
        return None
    given = {one.name: getattr(told, one.name) for one in fields(NodeReport)}
    return _shifted(Snapshot(**{**given, "readings": readings}), now - told.now)


def _are_told(value: Any) -> bool:
    """Whether all numbers in JSON are such as nodes tell: sums and differences of them are finite."""
    match value:
        case dict():
            return all(_are_told(one) for one in value.values())
        case list():
            return all(_are_told(one) for one in value)
        case float() | int():
            return abs(value) <= _MOST
    return True


_adapters: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def _shifted(snapshot: Snapshot, by_s: float) -> Snapshot:
    """Return the snapshot with all its times shifted."""
    return replace(
        snapshot,
        now=snapshot.now + by_s,
        started=snapshot.started + by_s,
        slots=tuple(
            replace(one, since=one.since + by_s, url_since=one.url_since + by_s) for one in snapshot.slots
        ),
        readings={kind: _moved(one, by_s) for kind, one in snapshot.readings.items()},
        sites=tuple(
            replace(one, blocked_until=one.blocked_until + by_s, throttled_at=one.throttled_at + by_s)
            for one in snapshot.sites
        ),
        failures=tuple(_moved(one, by_s) for one in snapshot.failures),
        notices=tuple(_moved(one, by_s) for one in snapshot.notices),
    )


def _moved(event: Any, by_s: float) -> Any:
    return replace(event, at=event.at + by_s)


@dataclass(slots=True)
class _Node:
    report: bytes
    snapshot: Snapshot


class WholeCrawl:
    """The state of a crawl, read from outside; `snapshot` may be called by another thread than the rest."""

    def __init__(self, started: float) -> None:
        self._lock = threading.Lock()
        self._started = started
        self._nodes: dict[str, _Node] = {}
        self._seen: Sequence[NodeSeen] = ()
        self._stats = Stats()
        self._proxied = ProxyBytes()
        self._progress = ProgressMeter()
        self._notices: tuple[Notice, ...] = ()
        self._away_since: float | None = None

    def note(
        self,
        now: float,
        stats: Stats,
        proxied: ProxyBytes,
        seen: Sequence[NodeSeen],
        reports: Mapping[str, bytes],
        *,
        state: str,
    ) -> None:
        """Store what was read of the crawl: its numbers, its nodes, and their reports."""
        stats = replace(stats, state=state)
        nodes = {}
        for name, report in reports.items():
            known = self._nodes.get(name)
            if known is not None and known.report == report:
                nodes[name] = known
            elif (snapshot := decoded(report, now)) is not None:
                nodes[name] = _Node(report, snapshot)
        if not nodes:
            # All have ended: their results stay visible.
            nodes = {name: _Node(node.report, _ended(node.snapshot)) for name, node in self._nodes.items()}
        with self._lock:
            self._nodes, self._seen, self._stats, self._proxied = nodes, seen, stats, proxied
            self._away_since = None
            self._progress.note(now, stats.ledger)

    def away(self, now: float) -> None:
        """Note that Redis did not answer."""
        with self._lock:
            self._away_since = now if self._away_since is None else self._away_since

    def say(self, notice: Notice) -> None:
        """Add a message for a person."""
        with self._lock:
            self._notices = (*self._notices, notice)[-NOTICES:]

    def snapshot(self, now: float) -> Snapshot:
        """Return the state of the crawl, all nodes joined."""
        with self._lock:
            nodes = {name: node.snapshot for name, node in self._nodes.items()}
            views = tuple(_view(one, nodes.get(one.name), now) for one in self._seen)
            joined = join(nodes, now, self._started)
            readings = {**joined.readings, ProxyBytesRead: ProxyBytesRead(now, self._proxied)}
            return replace(
                joined,
                stats=self._stats,
                progress=self._progress.read(),
                readings=readings,
                notices=tuple(sorted((*joined.notices, *self._notices), key=lambda one: one.at))[-NOTICES:],
                away_since=self._away_since,
                node_views=views,
            )


def _ended(snapshot: Snapshot) -> Snapshot:
    """Return the results of a node that has ended."""
    return replace(
        snapshot,
        slots=(),
        history=(),
        pages_per_s=0.0,
        bytes_per_s=0.0,
        readings={kind: one for kind, one in snapshot.readings.items() if kind not in _OF_WORK},
    )


def _view(seen: NodeSeen, snapshot: Snapshot | None, now: float) -> NodeView:
    if snapshot is None:
        return NodeView(seen.name, seen.state, seen.silent_s, seen.contexts)
    reclaimed = snapshot.last(Reclaimed)
    return NodeView(
        seen.name,
        seen.state,
        seen.silent_s,
        len(snapshot.slots),
        snapshot.at_work,
        snapshot.admission.limit,
        snapshot.admission.binding,
        snapshot.pages_per_s,
        snapshot.memory.used_bytes,
        snapshot.memory.budget_bytes,
        f"{one_line(reclaimed.measure)} gave {size(reclaimed.freed_bytes)}" if reclaimed else "",
        max(0.0, now - reclaimed.at) if reclaimed else 0.0,
    )

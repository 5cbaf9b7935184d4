"""A trace of each visit, by OpenTelemetry: a span with its phases as spans below it, folded from the events.

A task beside the node sends them in batches as OTLP over HTTP, in JSON. At most `MOST_VISITS` wait; traces beyond
that, or that are not accepted, are dropped and counted: the crawl never waits for the collector.
<https://opentelemetry.io/docs/specs/otlp>
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from farm.model.clock import Clock
from farm.model.errors import NotDelivered
from farm.model.event import Event, PageDone, Phase, SlotPhase, VisitFailed

log = logging.getLogger("farm.traces")
EVERY_S = 2.0
AT_ONCE = 500
MOST_VISITS = 5_000
MOST_PHASES = 20
"""The most phases of a visit, which another context may repeat; more are left out."""
_OK, _ERROR = 1, 2
_CLIENT = 3
_OF_A_VISIT = frozenset({Phase.STARTING, Phase.RECYCLING, Phase.NAVIGATING, Phase.SETTLING, Phase.COMMITTING})


@dataclass(slots=True)
class _Visit:
    """A visit under way: each phase with when it began, by the monotonic clock."""

    url: str
    phases: list[tuple[Phase, float]] = field(default_factory=list)


class Tracer:
    """`fold` is an `Emit`; `run` is a companion of the node, and `flush` sends the rest at the end."""

    def __init__(
        self, service: dict[str, str], post: Callable[[bytes], Awaitable[None]], clock: Clock
    ) -> None:
        self.lost = 0
        """How many visits were not sent."""
        self._resource = {"attributes": [_attribute(name, value) for name, value in service.items()]}
        self._post = post
        self._clock = clock
        # From the monotonic clock, which events have, to that of the wall.
        self._offset_ns = round(clock.wall().timestamp() * 1e6) * 1000 - round(clock.monotonic() * 1e9)
        self._under_way: dict[str, _Visit] = {}
        self._waiting: deque[list[dict[str, Any]]] = deque()
        self._is_told = False

    def fold(self, event: Event) -> None:
        """Process an event: a phase of a slot, or the end of its visit."""
        match event:
            case SlotPhase(phase=phase, url=url) if phase in _OF_A_VISIT:
                visit = self._under_way.get(event.slot)
                if visit is None or visit.url != url:
                    visit = self._under_way[event.slot] = _Visit(url)
                if len(visit.phases) < MOST_PHASES:
                    visit.phases.append((phase, event.at))
            case SlotPhase():
                self._under_way.pop(event.slot, None)
            case PageDone():
                self._ended(
                    event.slot,
                    event.url,
                    event.at,
                    event.total_ms,
                    _OK,
                    {
                        "http.response.status_code": event.status,
                        "farm.bytes_received": event.bytes_received,
                        "farm.settled": event.settled,
                    },
                )
            case VisitFailed():
                self._ended(
                    event.slot,
                    event.url,
                    event.at,
                    event.total_ms,
                    _ERROR,
                    {
                        "farm.fate": str(event.fate),
                        "error.type": event.reason,
                        "farm.detail": event.detail,
                    },
                )

    def _ended(
        self, slot: str, url: str, at: float, total_ms: int, status: int, facts: dict[str, Any]
    ) -> None:
        visit = self._under_way.pop(slot, None)
        phases = visit.phases if visit is not None and visit.url == url else []
        if len(self._waiting) >= MOST_VISITS:
            self._lose(1, f"{MOST_VISITS:,} visits wait")
            return
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        attributes = {"url.full": url, "farm.slot": slot, **facts}
        spans = [self._span(trace, span, "", "visit", at - total_ms / 1000, at, attributes, status)]
        for number, (phase, begun) in enumerate(phases):
            ended = phases[number + 1][1] if number + 1 < len(phases) else at
            spans.append(self._span(trace, secrets.token_hex(8), span, str(phase), begun, ended, {}, 0))
        self._waiting.append(spans)

    def _span(
        self,
        trace: str,
        span: str,
        parent: str,
        name: str,
        begun: float,
        ended: float,
        attributes: dict[str, Any],
        status: int,
    ) -> dict[str, Any]:
        return {
            "traceId": trace,
            "spanId": span,
            **({"parentSpanId": parent} if parent else {}),
            "name": name,
            "kind": 1 if parent else _CLIENT,
            "startTimeUnixNano": str(round(begun * 1e9) + self._offset_ns),
            "endTimeUnixNano": str(round(ended * 1e9) + self._offset_ns),
            "attributes": [_attribute(key, value) for key, value in attributes.items()],
            "status": {"code": status},
        }

    async def run(self) -> None:
        """Send finished visits, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self._send()

    async def flush(self, within_s: float) -> None:
        """Send all waiting visits; those not accepted in time are dropped."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting:
                    await self._send()
        except TimeoutError:
            self._lose(len(self._waiting), "the run has ended")

    async def _send(self) -> None:
        visits = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        if not visits:
            return
        spans = [span for visit in visits for span in visit]
        scope = {"scope": {"name": "farm"}, "spans": spans}
        body = orjson.dumps({"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]})
        try:
            await self._post(body)
            self._is_told = False
        except NotDelivered as error:
            self._lose(len(visits), str(error))

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if not self._is_told:
            self._is_told = True
            log.warning("traces are lost (%s); the next loss is logged after some were accepted", why)


def _attribute(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    return {"key": name, "value": {"stringValue": str(value)}}

"""Delivers the events of a crawl to the user's webhook, each at least once.

Events wait in an outbox that all nodes share; one of them delivers. An event that is not accepted is tried again
after growing pauses, and given up after `MOST_TRIES`. The crawl never waits for this.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from farm.model.clock import Clock
from farm.model.errors import FarmError, NotDelivered
from farm.model.event import Committed, Event, VisitFailed
from farm.model.outcome import FailureKind
from farm.model.url import site_of

log = logging.getLogger("farm.webhook")
LOOK_S = 1.0
ARM_S = 600.0
CLAIM_S = 60.0
AT_ONCE = 20
MOST_TRIES = 10
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
MOST_SITES = 1_000
"""How many blocked sites may wait to be announced."""
SITE_S = 3600.0
"""After how many seconds a site that stays blocked is announced again."""
LOST_EVERY_S = 60.0
"""So often it is looked whether events found no place."""
END_S = 60.0
"""How long a node has the exclusive right to announce the end of a crawl, in seconds."""


class HookOutbox(Protocol):
    """The queue of events."""

    async def arm(self) -> None:
        """Enable the outbox."""
        ...

    async def announce(self, same: str, for_s: float, event: Mapping[str, Any]) -> bool:
        """Add an event, unless the same one was announced recently."""
        ...

    async def claim(self, owner: str, for_s: float) -> bool:
        """Claim the delivery; False if another node has it."""
        ...

    async def waiting(self, most: int) -> Sequence[tuple[int, bytes]]:
        """Return the oldest events, each with its place in the outbox."""
        ...

    async def delivered(self, shard: int, event: bytes) -> None:
        """Remove an event."""
        ...

    async def lost(self) -> int:
        """Return how many events have found no place so far."""
        ...


Post = Callable[[str, int, bytes], Awaitable[None]]
"""Delivers an event by its id, its time and its body; raises `NotDelivered`."""
Letter = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""Returns the data of a dead letter by its id; None if it is not dead any more."""


class Webhooks:
    """Delivers the events of one crawl; `fold` is an `Emit`, `run` is a companion of the node."""

    def __init__(
        self,
        crawl: str,
        owner: str,
        outbox: HookOutbox,
        post: Post,
        letter: Letter,
        clock: Clock,
    ) -> None:
        self._crawl = crawl
        self._owner = owner
        self._outbox = outbox
        self._post = post
        self._letter = letter
        self._clock = clock
        self._blocked: dict[str, str] = {}
        self._failed: tuple[bytes, int] = (b"", 0)
        self._again_at = 0.0
        self._lost: int | None = None
        self._looked_at = float("-inf")
        self._is_full = False

    def fold(self, event: Event) -> None:
        """Note a site that shows blocks."""
        match event:
            case VisitFailed(reason=FailureKind.BLOCKED, url=url, detail=detail):
                self._note(url, detail)
            case Committed(batch=batch):
                for record in batch.records:
                    if record.fields.get("blocked_by"):
                        self._note(record.url, str(record.fields["blocked_by"]))

    def _note(self, url: str, why: str) -> None:
        if len(self._blocked) < MOST_SITES:
            self._blocked.setdefault(site_of(url), why)
        elif not self._is_full and site_of(url) not in self._blocked:
            self._is_full = True
            log.warning(
                "%d blocked sites wait to be told to the webhook: what is more is left out", MOST_SITES
            )

    async def run(self) -> None:
        """Deliver until cancelled."""
        armed = float("-inf")
        while True:
            with suppress(FarmError):
                if self._clock.monotonic() - armed >= ARM_S:
                    await self._outbox.arm()
                    armed = self._clock.monotonic()
                await self._announce_blocked()
                await self._deliver()
                await self._tell_lost()
            await asyncio.sleep(LOOK_S)

    async def end(self, kind: str, data: Mapping[str, Any], within_s: float) -> None:
        """Announce how the run ended, unless `kind` is empty, and deliver what waits.

        Events that are not delivered within `within_s` stay in the outbox.
        """
        self._again_at = 0.0
        with suppress(FarmError, TimeoutError):
            async with asyncio.timeout(within_s):
                await self._outbox.arm()
                await self._announce_blocked()
                if kind:
                    await self._announce(kind, kind, END_S, data)
                while await self._deliver():
                    continue
                self._looked_at = float("-inf")
                await self._tell_lost()

    async def _tell_lost(self) -> None:
        """Say how many events have found no place since the last look; the node that delivers does it."""
        now = self._clock.monotonic()
        if now < self._looked_at + LOST_EVERY_S or not await self._outbox.claim(self._owner, CLAIM_S):
            return
        self._looked_at, before = now, self._lost
        self._lost = await self._outbox.lost()
        if before is not None and self._lost > before:
            text = "%d events are lost: the webhook takes them more slowly than they come, and the outbox is full"
            log.warning(text, self._lost - before)

    async def _announce_blocked(self) -> None:
        for site in list(self._blocked):
            data = {"site": site, "why": self._blocked[site]}
            await self._announce("site_blocked", f"site {site}", SITE_S, data)
            del self._blocked[site]

    async def _announce(self, kind: str, same: str, for_s: float, data: Mapping[str, Any]) -> None:
        event = {"type": kind, "at": round(self._clock.wall().timestamp() * 1000), **data}
        await self._outbox.announce(same, for_s, event)

    async def _deliver(self) -> bool:
        """Deliver the oldest events; return whether there were any and all of them were delivered."""
        # Kept while a pause lasts too: another node would count the tries from the beginning.
        if not await self._outbox.claim(self._owner, CLAIM_S) or self._clock.monotonic() < self._again_at:
            return False
        events = await self._outbox.waiting(AT_ONCE)
        for shard, event in events:
            if not await self._deliver_one(event):
                return False
            await self._outbox.delivered(shard, event)
            # All of them may take longer than a claim lasts.
            if not await self._outbox.claim(self._owner, CLAIM_S):
                return False
        return bool(events)

    async def _deliver_one(self, event: bytes) -> bool:
        """Deliver an event; return whether it is settled: delivered, or given up."""
        event_id, at_s, body = await self._message(event)
        try:
            await self._post(event_id, at_s, body)
        except NotDelivered as error:
            tries = self._failed[1] + 1 if self._failed[0] == event else 1
            self._failed = (event, tries)
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries - 1))
            self._again_at = self._clock.monotonic() + pause_s
            if tries < MOST_TRIES:
                log.warning(
                    "the webhook did not accept an event (%s); it is tried again in %g s", error, pause_s
                )
                return False
            text = "the webhook did not take event %s in %d tries (%s): it is given up"
            log.error(text, event_id, tries, error)  # noqa: TRY400 - the traceback says no more
        self._failed = (b"", 0)
        return True

    async def _message(self, event: bytes) -> tuple[str, int, bytes]:
        """Return an event's id, the same on every delivery, its time in seconds, and its body."""
        event_id = f"evt_{hashlib.sha256(self._crawl.encode() + event).hexdigest()[:32]}"
        try:
            fields = json.loads(event)
            kind, at_ms = str(fields.pop("type")), int(fields.pop("at"))
            at = datetime.fromtimestamp(at_ms / 1000, UTC)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, OSError):
            # Not written by a farm: it is delivered with the type `unreadable`.
            kind, at_ms, fields, at = "unreadable", 0, {}, datetime.fromtimestamp(0, UTC)
        if kind == "dead_letter":
            fields |= await self._letter(str(fields.get("id", ""))) or {}
        told = {
            "id": event_id,
            "type": kind,
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z",
            "crawl": self._crawl,
            "data": fields,
        }
        return event_id, round(self._clock.wall().timestamp()), json.dumps(told).encode()

"""From a lease request to a lease: which shards are asked, and what their answers mean together."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from farm.frontier.client import Arg
from farm.frontier.entries import CorruptEntry, decode_lease
from farm.frontier.nodes import ActiveFeeders
from farm.frontier.quarantine import Quarantine
from farm.frontier.shards import ShardAffinity, Shards, allow_more
from farm.model.errors import UsageError
from farm.model.outcome import FailureKind
from farm.model.task import Idle, Lease, LeaseRequest

_PRECEDENCE = ("stopped", "draining", "paused", "waiting", "limit", "empty")
"""What several shards' refusals mean together: the first of these that any of them said."""
SOON_S = 0.25


class LeaseDispatch:
    """Asks the shards for a lease until one grants it, or none can."""

    def __init__(self, shards: Shards, feeders: ActiveFeeders, random: Random) -> None:
        self._shards = shards
        self._random = random
        self._affinity = ShardAffinity(shards.count)
        self._quarantine = Quarantine()
        self._feeders = feeders

    @staticmethod
    def none() -> tuple[Arg, ...]:
        """Return the arguments of an ack that requests no further lease."""
        return ("", "", 0, "", "000", 0, "")

    def arguments(self, request: LeaseRequest, *, alone: bool = False) -> tuple[Arg, ...]:
        """Return a request as the scripts take it; `alone` where this node is known to hold no lease.

        Raises UsageError where a part of it cannot be stored.
        """
        if not request.request_id or {"\0", "\n"} & {*request.slot, *request.request_id, *request.egress}:
            raise UsageError("A lease request needs an id, and no part of it may hold a NUL or a line break.")
        nonce = f"{self._random.randrange(1000):03}"
        jitter = f"{self._random.random():.3f}"
        # Where there is one shard it sees for itself what the node holds.
        alone = alone or self._shards.count == 1
        hint = request.site_hint or ""
        return (request.request_id, hint, request.limit, request.egress, nonce, jitter, int(alone))

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Ask the shards in turn."""
        return await self.lease_from(self._shards.home(request.request_id, request.site_hint), request)

    async def lease_from(self, home: int, request: LeaseRequest) -> Lease | Idle:
        """Ask the shards in turn, `home` first unless the slot's run there is over."""
        order = self._shards.order(await self._first(request, home))
        return await self._unless_fed(await self._ask(order, request, []), request)

    async def stays(self, shard: int, request: LeaseRequest) -> bool:
        """Whether a settlement's own shard is to be asked, in the same round trip."""
        return await self._first(request, shard) == shard

    async def _first(self, request: LeaseRequest, home: int) -> int:
        if self._shards.count == 1:
            return home
        # As the crawl has it stored: nodes of other versions have other defaults.
        return self._affinity.first(request, home, (await self._shards.terms()).affinity_run)

    async def granted(self, shard: int, reply: Sequence[Any], request: LeaseRequest) -> Lease | Idle:
        """Return what an ack granted; where its shard had nothing, ask the others."""
        got = await self._read(shard, reply, request)
        if isinstance(got, Idle) and self._shards.count > 1:
            order = self._shards.order(self._shards.home(request.request_id, None))
            got = await self._ask([other for other in order if other != shard], request, [got])
        elif isinstance(got, Lease):
            self._affinity.note(request, shard, anew=False)
        return await self._unless_fed(got, request)

    async def _unless_fed(self, got: Lease | Idle, request: LeaseRequest) -> Lease | Idle:
        """Turn `empty` into `waiting` while a node still feeds the crawl."""
        if isinstance(got, Lease) or got.reason != "empty":
            return got
        if await self._feeders.any():
            return Idle("waiting", SOON_S)
        # The feeder may have added its last URLs after the first look and have ended before this one.
        order = self._shards.order(self._shards.home(request.request_id, None))
        return await self._ask(order, request, [])

    async def _ask(self, order: Sequence[int], request: LeaseRequest, refusals: list[Idle]) -> Lease | Idle:
        suspects = []
        for shard in order:
            if self._quarantine.is_closed_to(request.slot):
                return Idle("waiting", SOON_S)
            with self._quarantine.requesting():
                reply = await self._shards.run(shard, "lease", request.slot, *self.arguments(request))
                got = await self._read(shard, reply, request)
            if isinstance(got, Lease):
                self._affinity.note(request, shard, anew=bool(refusals))
                return got
            if reply[0] == b"IDLE" and reply[-1] == b"suspect":
                suspects.append(shard)
            refusals.append(got)
        if self._shards.count == 1:
            return refusals[0]
        return await self._suspect(suspects, request) or await self._together(refusals)

    async def _suspect(self, shards: Sequence[int], request: LeaseRequest) -> Lease | None:
        """Lease a suspect of these shards, unless this node holds something in any shard."""
        for shard in shards:
            with self._quarantine.requesting_alone() as may:
                if may:
                    arguments = self.arguments(request, alone=True)
                    reply = await self._shards.run(shard, "lease", request.slot, *arguments)
                    got = await self._read(shard, reply, request)
                    if isinstance(got, Lease):
                        self._affinity.note(request, shard, anew=True)
                        return got
        return None

    def settled(self, lease: Lease) -> None:
        """Record that a slot no longer holds its lease."""
        self._quarantine.settled(lease)

    async def _read(self, shard: int, reply: Sequence[Any], request: LeaseRequest) -> Lease | Idle:
        """Return what a shard answered; bury an entry that cannot be read, and request the next."""
        asked = request
        while True:
            if reply[0] == b"IDLE":
                idle = Idle(reason=reply[1].decode(), retry_in_s=reply[2] / 1000)
                lendable = idle.reason == "limit" and self._shards.count > 1
                if not lendable or not await allow_more(self._shards, shard, request.limit):
                    return idle
            else:
                _, token, site, entry = reply
                try:
                    lease = decode_lease(token, site, entry, request.slot)
                except CorruptEntry as error:
                    bury = ("bury", FailureKind.CORRUPT, str(error), 0, 0)
                    await self._shards.run(shard, "nack", request.slot, entry[:16], token, *bury)
                else:
                    if self._shards.count > 1:
                        self._quarantine.leased(lease)
                    return lease
                asked = replace(asked, request_id=asked.request_id + "+")
            reply = await self._shards.run(shard, "lease", asked.slot, *self.arguments(asked))

    async def _together(self, refusals: Sequence[Idle]) -> Idle:
        reason = min((idle.reason for idle in refusals), key=_PRECEDENCE.index)
        soonest = min((idle.retry_in_s for idle in refusals if idle.reason == reason), default=SOON_S)
        if reason == "empty" and not await self._is_finished():
            return Idle("waiting", SOON_S)
        if reason == "limit" and any(counters["leased"] for counters in await self._shards.counters()):
            return Idle("limit", SOON_S)
        return Idle(reason, soonest)

    async def _is_finished(self) -> bool:
        """Whether all shards are empty; read twice, since a link may have been on its way between two."""
        first = await self._shards.counters()
        empty = not any(
            counters[name]
            for counters in first
            for name in ("delayed", "leased", "outbox", "suspects", *(f"q{band}" for band in range(10)))
        )
        moving = ("accepted", "done", "dead", "seen", "token")
        return empty and [[c[name] for name in moving] for c in first] == [
            [c[name] for name in moving] for c in await self._shards.counters()
        ]

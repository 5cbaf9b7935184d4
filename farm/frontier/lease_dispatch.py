"""Dispatches a lease request: the order in which shards are asked, and the meaning of their answers together.

A script sees only its own shard. Decisions about several shards are made here: which shard a slot asks first, the
page limit over all, and that a suspect is visited with nothing else in flight. All of this runs in one event loop:
no other task runs between a check and the action that depends on it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import uuid4

from farm.frontier.client import Arg
from farm.frontier.entries import CorruptEntry, decode_lease
from farm.frontier.nodes import ActiveFeeders
from farm.frontier.shards import Shards
from farm.model.errors import UsageError
from farm.model.outcome import FailureKind
from farm.model.task import Idle, Lease, LeaseRequest

_PRECEDENCE = ("stopped", "draining", "paused", "waiting", "limit", "empty")
"""The common meaning of several shards' refusals: the first of these that any of them returned."""
HALTED = ("stopped", "draining", "paused")
SOON_S = 0.25
QUOTA_PORTION = 8
"""How many pages a shard borrows at once."""


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
        """Return a request in the form for the scripts; `alone` if this node is known to hold no lease.

        Raises UsageError if a part of it cannot be stored.
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
        self._quarantine.vacated(request.slot)
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
        """Return the lease that an ack granted; if its shard had none, ask the others."""
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
        suspects, is_away = [], False
        for shard in order:
            if self._quarantine.is_closed_to(request.slot):
                return Idle("waiting", SOON_S)
            with self._quarantine.requesting():
                # A slot waits for a shard that may have granted it a lease before it went away: it would hold two.
                arguments = self.arguments(request)
                reply = await self._shards.attempt(shard, "lease", request.slot, *arguments, in_doubt=False)
                if reply is None:
                    is_away = True
                    continue
                # What one shard was refused no other has: nothing is left to borrow.
                may_borrow = all(idle.reason != "limit" for idle in refusals)
                got = await self._read(shard, reply, request, may_borrow=may_borrow)
            if isinstance(got, Lease):
                self._affinity.note(request, shard, anew=bool(refusals))
                return got
            if reply[0] == b"IDLE" and reply[-1] == b"suspect":
                suspects.append(shard)
            refusals.append(got)
        if self._shards.count == 1:
            return refusals[0]
        if is_away:
            # Its contents are unknown, so the crawl does not count as finished.
            halted = [idle for idle in refusals if idle.reason in HALTED]
            return halted[0] if halted else Idle("waiting", SOON_S)
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

    async def _read(
        self, shard: int, reply: Sequence[Any], request: LeaseRequest, *, may_borrow: bool = True
    ) -> Lease | Idle:
        """Return a shard's answer; bury an unreadable entry, and request the next."""
        asked = request
        while True:
            if reply[0] == b"IDLE":
                idle = Idle(reason=reply[1].decode(), retry_in_s=reply[2] / 1000)
                lendable = may_borrow and idle.reason == "limit" and self._shards.count > 1
                if not lendable or not await allow_more(self._shards, shard, request.limit):
                    return idle
            else:
                _, token, site, entry = reply
                try:
                    lease = decode_lease(token, site, entry, request.slot)
                except CorruptEntry as error:
                    bury = ("bury", FailureKind.CORRUPT, str(error), 0, 0, "")
                    await self._shards.run(shard, "nack", request.slot, entry[:16], token, *bury)
                else:
                    if self._shards.count > 1:
                        self._quarantine.leased(lease)
                    return lease
                asked = replace(asked, request_id=asked.request_id + "+")
            reply = await self._shards.run(shard, "lease", asked.slot, *self.arguments(asked))

    async def _together(self, refusals: Sequence[Idle]) -> Idle:
        reason = min((idle.reason for idle in refusals), key=_PRECEDENCE.index)
        retry_in_s = min((idle.retry_in_s for idle in refusals if idle.reason == reason), default=SOON_S)
        if reason == "empty" and not await self._is_finished():
            return Idle("waiting", SOON_S)
        if reason == "limit" and any(counters["leased"] for counters in await self._shards.counters()):
            return Idle("limit", SOON_S)
        return Idle(reason, retry_in_s)

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


@dataclass(frozen=True, slots=True)
class _Run:
    request_id: str
    shard: int
    length: int


class ShardAffinity:
    """How many leases in a row each slot got from one shard, so that none is served alone while others have work.

    A script grants the best URL of its own shard and knows no other: only the caller can ask another shard. A slot
    belongs to one node, so its run concerns no other node, and need not outlive the process.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._runs: dict[str, _Run] = {}

    def first(self, request: LeaseRequest, home: int, longest: int) -> int:
        """Return the shard to ask first: `home`, or the one behind it when the slot's run there is over.

        `longest` is how many leases in a row one shard gives before the others are asked. A request that was
        granted and is repeated goes where it was granted, or its slot would hold two leases.
        """
        run = self._runs.get(request.slot)
        if run is None:
            return home
        if run.request_id == request.request_id:
            return run.shard
        is_over = run.shard == home and run.length >= longest
        return (home + 1) % self._shards if is_over else home

    def note(self, request: LeaseRequest, shard: int, *, anew: bool) -> None:
        """Note which shard granted a request; `anew` when others were asked before and had nothing."""
        if self._shards == 1:
            return
        run = self._runs.get(request.slot)
        if run is not None and run.request_id == request.request_id:
            return
        length = run.length + 1 if run is not None and run.shard == shard and not anew else 1
        self._runs[request.slot] = _Run(request.request_id, shard, length)


class Quarantine:
    """The leases of one node's slots in all shards, and its requests that are under way.

    A shard sees its own leases only. So where there are several, the node itself says whether it holds a lease: it
    requests a suspect only while it does not, and nothing else until the suspect is settled.
    """

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._under_way = 0
        self._asks_alone = False

    def is_closed_to(self, slot: str) -> bool:
        """Whether the slot may lease nothing now: another slot has a suspect, or requests one."""
        return self._asks_alone or any(
            lease.alone for held_by, lease in self._held.items() if held_by != slot
        )

    def leased(self, lease: Lease) -> None:
        """Record the lease of a slot."""
        self._held[lease.slot] = lease

    def settled(self, lease: Lease) -> None:
        """Record that a lease is settled."""
        if self._held.get(lease.slot) == lease:
            del self._held[lease.slot]

    def vacated(self, slot: str) -> None:
        """Record that a slot holds nothing: it requests a lease. One that it has lost was not settled."""
        self._held.pop(slot, None)

    @contextmanager
    def requesting(self) -> Iterator[None]:
        """Count a request for a URL that is no suspect."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextmanager
    def requesting_alone(self) -> Iterator[bool]:
        """Reserve the node for a suspect; yields False where it holds a lease, or may be about to."""
        if self._held or self._under_way or self._asks_alone:
            yield False
            return
        self._asks_alone = True
        try:
            yield True
        finally:
            self._asks_alone = False


async def allow_more(shards: Shards, shard: int, limit: int) -> bool:
    """Let a shard grant some more leases within the page limit; False when nothing is left to lend.

    The limit is lent in small portions, so that it is never exceeded. A shard that is refused borrows from the
    first one; when all is lent, what other shards do not need is withdrawn from them and lent again.
    """
    lent = await _move(shards, 0, "borrow", QUOTA_PORTION, limit)
    if not lent:
        await _withdraw_from_others(shards, shard)
        lent = await _move(shards, 0, "borrow", QUOTA_PORTION, limit)
    if lent:
        await _move(shards, shard, "allow", lent)
    return lent > 0


async def _withdraw_from_others(shards: Shards, shard: int) -> None:
    for other in range(shards.count):
        if other != shard:
            unused = await _move(shards, other, "withdraw")
            if unused:
                await _move(shards, 0, "repay", unused)


async def _move(shards: Shards, shard: int, action: str, count: int = 0, limit: int = 0) -> int:
    return int(await shards.run(shard, "quota", action, count, limit, uuid4().hex))

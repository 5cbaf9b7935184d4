"""The lease queue in Redis: every method is one transition, or a few equal ones.

Invariants: a URL that was accepted is in exactly one of queued, delayed, leased, done and dead,
and a lease is settled by the holder of its current token alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from random import Random
from typing import assert_never
from uuid import uuid4

from farm.frontier import keys
from farm.frontier.audit import Audit, audit
from farm.frontier.client import Arg, RedisClient
from farm.frontier.crawl import Crawl
from farm.frontier.dead import DeadLetters
from farm.frontier.entries import encode_task, fingerprint_of
from farm.frontier.faults import unreadable
from farm.frontier.history import encode_visit
from farm.frontier.hooks import RedisHookOutbox
from farm.frontier.lease_dispatch import LeaseDispatch
from farm.frontier.lending import Lending
from farm.frontier.node_status import status_of_nodes
from farm.frontier.nodes import ActiveFeeders, NodeRegistry, RedisFlowStore
from farm.frontier.outbox import addressed, deliver
from farm.frontier.shards import BATCH, STATES, Shards
from farm.frontier.shared_state import (
    RedisNodeReports,
    RedisPaceStore,
    RedisProxyBytes,
    RedisSharedCache,
    SharedBans,
    SharedScope,
)
from farm.frontier.terms import Terms
from farm.frontier.tiers import RedisTiers, encode_notes
from farm.model.crawl import NodeSeen, Stats
from farm.model.errors import UsageError
from farm.model.event import RedisAway, RedisBack
from farm.model.outcome import Ack, Bury, FailedVisit, FailureKind, Release, Retry, Settled
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask

LONGEST_DETAIL = 500
LONGEST_TRACEBACK = 2_000
"""Characters of the user's own messages."""
ELIGIBLE_SITES = 500
"""How many sites of a shard are examined to count the eligible URLs: a call must be short."""


class RedisFrontier:
    """Everything of one crawl in Redis: its URLs by methods, the rest by attributes.

    `own_time_ms` replaces the server's clock in tests.
    """

    def __init__(
        self,
        client: RedisClient,
        crawl: Crawl,
        *,
        own_time_ms: Callable[[], int] | None = None,
        random: Random | None = None,
    ) -> None:
        self.shards = Shards(client, crawl, own_time_ms)
        self.feeders = ActiveFeeders(client, crawl)
        """Which nodes still feed the crawl from sitemaps."""
        self._client = client
        self._crawl = crawl
        self._own_time_ms = own_time_ms
        self._lending = Lending(self.shards)
        self._me = uuid4().hex
        self._dispatch = LeaseDispatch(self.shards, self.feeders, random or Random())  # noqa: S311 - nonces and jitter, no secrets

    @cached_property
    def paces(self) -> RedisPaceStore:
        """The learnt pace of each site."""
        return RedisPaceStore(self.shards)

    @cached_property
    def flow(self) -> RedisFlowStore:
        """The measured flow of each node."""
        return RedisFlowStore(self._client, self._crawl)

    @cached_property
    def reports(self) -> RedisNodeReports:
        """The nodes' reports for a view of all of them."""
        return RedisNodeReports(self._client, self._crawl)

    @cached_property
    def bans(self) -> SharedBans:
        """Which proxies are banned."""
        return SharedBans(self._client, self._crawl, own_time_ms=self._own_time_ms)

    @cached_property
    def proxy_bytes(self) -> RedisProxyBytes:
        """The bytes through proxies."""
        return RedisProxyBytes(self.shards)

    @cached_property
    def tiers(self) -> RedisTiers:
        """The counts of the renderers that cost less than the browser."""
        return RedisTiers(self.shards)

    @cached_property
    def scope(self) -> SharedScope:
        """The sites that were added to the scope."""
        return SharedScope(self._client, self._crawl)

    @cached_property
    def cache(self) -> RedisSharedCache:
        """The origins' robots.txt, fetched once for all nodes."""
        return RedisSharedCache(self._client, self._crawl)

    @cached_property
    def nodes(self) -> NodeRegistry:
        """The registry of the crawl's nodes."""
        return NodeRegistry(self.shards)

    @cached_property
    def dead(self) -> DeadLetters:
        """The URLs that were given up."""
        return DeadLetters(self.shards)

    @cached_property
    def hooks(self) -> RedisHookOutbox:
        """The events that wait for the crawl's webhook."""
        return RedisHookOutbox(self.shards)

    @property
    def place(self) -> str:
        """The address of Redis without credentials, for messages to users."""
        return self._client.place

    def on_outage(self, tell: Callable[[RedisAway | RedisBack], None]) -> None:
        """Call `tell` when an outage of Redis begins, and when it ends."""
        self._client.outage.tell = tell

    async def terms(self) -> Terms:
        """Return the terms that the crawl was created with.

        Raises CrawlGone if the crawl was deleted, CrawlUnreadable if its counters cannot be read.
        """
        return await self.shards.terms()

    async def add(self, tasks: Sequence[UrlTask]) -> int:
        """Accept the tasks that are new and return how many were."""
        by_shard: dict[int, list[bytes]] = {}
        for task in tasks:
            by_shard.setdefault(self.shards.of(task.site), []).append(encode_task(task))
        accepted = 0
        for shard, links in by_shard.items():
            for start in range(0, len(links), BATCH):
                accepted += int(await self.shards.run(shard, "add", *links[start : start + BATCH]))
        return accepted

    async def is_on_disk(self) -> bool | None:
        """Wait until added URLs survive the server's death; return whether they do, None if it cannot tell."""
        return await self._client.is_on_disk(keys.ctl(self._crawl))

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Lease the best URL for this slot, or return why there is none and when to retry.

        `retry_in_s` is 0 if a retry cannot help: `empty`, and `limit` with nothing leased.
        """
        return await self._dispatch.lease(request)

    async def ack(
        self, lease: Lease, outcome: Ack, following: LeaseRequest | None = None
    ) -> tuple[Settled, Lease | Idle | None]:
        """Settle as done, links included; grant the next lease in the same round trip if `following` asks for one.

        The next lease needs a separate round trip if the slot's run at this shard has ended. Returns how the
        lease was settled, and the next one, or why there is none.
        """
        shard = self.shards.of(lease.task.site)
        seen = [fingerprint_of(one) for one in outcome.seen]
        links = self._outgoing(shard, outcome.links, seen)
        while len(links) > BATCH:
            part, links = links[:BATCH], links[BATCH:]
            if await self.shards.run(shard, "extend", lease.slot, lease.id, lease.token, *part) < 0:
                # Not settled yet: the ack says whether this is a repetition or a lost lease.
                links = []
        stays = following is not None and await self._dispatch.stays(shard, following)
        arguments = self._dispatch.arguments(following) if following and stays else self._dispatch.none()
        head: tuple[Arg, ...] = (lease.slot, lease.id, lease.token, int(outcome.rendered), *arguments)
        notes = b"" if outcome.tiers is None else encode_notes(outcome.tiers, lease.task)
        try:
            reply = await self.shards.run(shard, "ack", *head, notes, len(seen), *seen, *links)
        finally:
            self._dispatch.settled(lease)
        settled = Settled(reply[0].decode().lower())
        if outcome.tiers is not None:
            self.tiers.heard(outcome.tiers, reply[1])
            del reply[1]
        if following is None:
            return settled, None
        if not stays:
            # It is another shard's turn, and a script cannot lease URLs of another shard.
            return settled, await self._dispatch.lease_from(shard, following)
        return settled, await self._dispatch.granted(shard, reply[1:], following)

    async def nack(
        self, lease: Lease, outcome: Retry | Bury | Release, visit: FailedVisit | None = None
    ) -> Settled:
        """Settle as not done: delayed, buried, or released. Returns how the lease was settled.

        The facts of the `visit` are kept with its URL until that is done, replayed or dropped.
        """
        match outcome:
            case Retry(reason, delay_s, detail, throttled, blocks_site):
                action: tuple[Arg, ...] = (
                    "retry",
                    reason,
                    _detail(reason, detail),
                    int(delay_s * 1000),
                    int(throttled) * (1 if blocks_site else 2),
                )
            case Bury(reason, detail):
                action = ("bury", reason, _detail(reason, detail), 0, 0)
            case Release(why):
                action = ("release", _line(why), "", 0, 0)
            case _:
                assert_never(outcome)
        shard = self.shards.of(lease.task.site)
        known = encode_visit(visit) if visit is not None else ""
        try:
            verdict = await self.shards.run(shard, "nack", lease.slot, lease.id, lease.token, *action, known)
        finally:
            # Whatever came of it, this node works on it no more.
            self._dispatch.settled(lease)
        return Settled(verdict.decode().lower())

    async def may_begin(self, site: str, egress: str = "", *, begun: bool = False) -> float:
        """Return 0 if a leased visit may begin now, else after how many seconds to call again.

        Less than 0 if the site is blocked for this time: the lease must be released. A visit that has `begun`
        without a call is only counted, so that the next ones are spaced.
        """
        return int(await self.shards.run(self.shards.of(site), "start", site, egress, int(begun))) / 1000

    async def maintain(self, most: int = 100) -> int:
        """Reclaim at most `most` delayed URLs and expired leases of each shard; advance the virtual clock.

        Also delivers the links between shards, unless another node does, and lends what some do not use of the
        limits over all of them. Returns how many URLs moved. A shard that is away holds no other up.
        """
        moved, late = 0, set[int]()
        asked = (most, int(await self._client.is_nearly_full()), self._me)
        shards = self.shards
        replies = await asyncio.gather(
            *(shards.attempt(shard, "maintain", *asked, in_doubt=True) for shard in range(shards.count))
        )
        answered = {shard: reply for shard, reply in enumerate(replies) if reply is not None}
        if not answered:
            answered[0] = await shards.run(0, "maintain", *asked)
        for shard, (came, waiting, kept) in answered.items():
            moved += came
            if waiting or kept:
                moved += await deliver(shards, shard, late, answered.keys())
        if len(answered) > 1:
            await self._lending.lend()
        return moved

    async def stats(self) -> Stats:
        """Return the crawl's numbers, summed over all shards.

        Raises CrawlGone if the crawl was deleted, CrawlUnreadable if its counters cannot be read.
        """
        return await self.shards.stats()

    async def eligible(self) -> int:
        """Return how many URLs could be leased now; with very many sites at least this many."""
        return sum(map(int, await self.shards.each("eligible", ELIGIBLE_SITES)))

    async def seen_nodes(self) -> list[NodeSeen]:
        """Return the nodes of the crawl, the processes of one together, live ones first."""
        # Every node looks every few seconds: of a hundred that would be a share of the server's time.
        nodes = status_of_nodes(await self.nodes.history(with_leased=False), ())
        return [NodeSeen(node.name, node.state, node.contexts, node.silent_s) for node in nodes]

    async def set_state(self, state: str) -> None:
        """Set for all nodes whether leases are granted: one of `STATES`. Raises UsageError for any other."""
        if state not in STATES:
            raise UsageError(f"A crawl can be {', '.join(STATES)}, not {state!r}.")
        await self.shards.each("control", STATES.index(state))

    async def state(self) -> str:
        """Return the state that `set_state` set last."""
        state = int(await self.shards.run(0, "control", ""))
        if not 0 <= state < len(STATES):
            raise unreadable(self._client.place, "its counters are none")
        return STATES[state]

    async def block(self, site: str, for_s: float, *, egress: str = "") -> None:
        """Block a site for `for_s` seconds, for all visits or for those by one egress address."""
        await self.shards.run(self.shards.of(site), "block", site, round(for_s * 1000), egress)

    async def audit(self, most: int = 50) -> list[str]:
        """Check the invariants; return the violations, a sentence each.

        In slices, so that the server can answer other clients. If the crawl changes meanwhile, sums over
        slices are not compared; `examine` returns whether they were.
        """
        return list((await self.examine(most)).violations)

    async def examine(self, most: int = 50) -> Audit:
        """Check the invariants; return the violations, and whether everything was compared."""
        return await audit(self.shards, most)

    async def mark_finished(self, fed_by: str) -> None:
        """Note that the crawl is finished, and from which sitemaps it was fed.

        URLs that are added later open it again.
        """
        await self._client.command("SET", keys.finished(self._crawl), fed_by)

    async def is_finished(self, fed_by: str) -> bool:
        """Whether the crawl was finished, fed from these sitemaps; URLs added later are not considered."""
        stored = await self._client.command("GET", keys.finished(self._crawl))
        return bool(stored == fed_by.encode())

    async def extend_scope(self, extension: str) -> None:
        """Add a site to the scope of the crawl, for every node: a seed was redirected there."""
        await self.scope.add([extension])

    async def scope_sites(self) -> frozenset[str]:
        """Return the sites that were added to the scope: the same object as before where there are no others."""
        return await self.scope.read()

    def _outgoing(self, shard: int, tasks: Iterable[UrlTask], seen: Sequence[bytes]) -> list[bytes]:
        links = []
        for task in tasks:
            target = self.shards.of(task.site)
            link = encode_task(task)
            links.append(link if target == shard else addressed(link, target))
        # A fingerprint does not say which shard its site is in: every shard is sent those of redirects.
        others = [other for other in range(self.shards.count) if other != shard]
        links += [addressed(one, other) for one in seen for other in others]
        return links


def _detail(reason: FailureKind, text: str) -> str:
    return _line(text, LONGEST_TRACEBACK if reason is FailureKind.HANDLER else LONGEST_DETAIL)


def _line(text: str, most: int = LONGEST_DETAIL) -> str:
    return " ".join(text.split())[:most]

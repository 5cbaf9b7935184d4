"""The lease queue in Redis: every method is one transition, or a few of the same.

What always holds: a URL that was accepted is in exactly one of queued, delayed, leased, done and dead,
and a lease is settled by the holder of its current token alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, assert_never

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.counters import STATES, decode
from farm.frontier.crawl import Crawl
from farm.frontier.entries import CorruptEntry, lease_of, link_of
from farm.frontier.faults import gone
from farm.frontier.ledger import stats_of
from farm.model.errors import UsageError
from farm.model.ledger import Stats
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask

AT_ONCE = 500
"""How many links one script takes; more would hold up everybody else's."""
LONGEST_DETAIL = 500


class RedisFrontier:
    """A crawl's frontier. `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self,
        client: RedisClient,
        crawl: Crawl,
        *,
        own_time_ms: Callable[[], int] | None = None,
        random: Random | None = None,
    ) -> None:
        self._client = client
        self._crawl = crawl
        self._own_time_ms = own_time_ms
        self._random = random or Random()  # noqa: S311 - a nonce and a jitter, not a secret
        self._ctl = keys.ctl(crawl.name)

    async def add(self, tasks: Sequence[UrlTask]) -> int:
        """Accept what is new and return how many were."""
        links = [link_of(task) for task in tasks]
        accepted = 0
        for start in range(0, len(links), AT_ONCE):
            accepted += int(await self._run("add", *links[start : start + AT_ONCE]))
        return accepted

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Lease the best URL for this slot, or say why there is none and when to ask again.

        `retry_in_s` is 0 where asking again cannot help: `empty`, and `limit` with nothing leased.
        """
        reply = await self._run("lease", request.slot, *self._wish(request))
        return await self._open(reply, request)

    async def ack(
        self, lease: Lease, outcome: Ack, following: LeaseRequest | None = None
    ) -> tuple[Settled, Lease | Idle | None]:
        """Settle as done, links included; hand out the next lease in the same round trip if asked to."""
        links = [link_of(task) for task in outcome.links]
        while len(links) > AT_ONCE:
            part, links = links[:AT_ONCE], links[AT_ONCE:]
            if await self._run("extend", lease.slot, lease.id, lease.token, *part) < 0:
                # Not settled yet: the ack says whether this is a repetition or a lost lease.
                links = []
        wish = ("", "", 0, "", "000", 0) if following is None else self._wish(following)
        head: tuple[Arg, ...] = (lease.slot, lease.id, lease.token, int(outcome.rendered), *wish)
        verdict, *handed = await self._run("ack", *head, len(outcome.seen), *outcome.seen, *links)
        settled = Settled(verdict.decode().lower())
        if following is None:
            return settled, None
        return settled, await self._open(handed, following)

    async def nack(self, lease: Lease, outcome: Retry | Bury | Release) -> Settled:
        """Settle as not done: put off, given up, or given back."""
        match outcome:
            case Retry(reason, delay_s, detail, throttled):
                deed: tuple[Arg, ...] = ("retry", reason, _line(detail), int(delay_s * 1000), int(throttled))
            case Bury(reason, detail):
                deed = ("bury", reason, _line(detail), 0, 0)
            case Release(why):
                deed = ("release", _line(why), "", 0, 0)
            case _:
                assert_never(outcome)
        verdict = await self._run("nack", lease.slot, lease.id, lease.token, *deed)
        return Settled(verdict.decode().lower())

    async def maintain(self, most: int = 100) -> int:
        """Bring home at most `most` delayed URLs and expired leases that are due; tick the clock."""
        return int(await self._run("maintain", most))

    async def stats(self) -> Stats:
        """Count."""
        reply = await self._run("stats")
        if not reply:
            raise gone(self._client.place)
        stored, tally = reply
        reasons = {tally[i].decode(): int(tally[i + 1]) for i in range(0, len(tally), 2)}
        return stats_of([decode(stored)], reasons)

    async def control(self, state: str) -> None:
        """Say for all nodes whether leases are handed out: one of `STATES`."""
        if state not in STATES:
            raise UsageError(f"A crawl can be {', '.join(STATES)}, not {state!r}.")
        await self._run("control", STATES.index(state))

    async def state(self) -> str:
        """Return what `control` said last."""
        return STATES[int(await self._run("control", ""))]

    async def extend_scope(self, site: str) -> None:
        """Add a site to the scope of the crawl, for every node: a seed was redirected there."""
        await self._client.command("SADD", keys.scope(self._crawl.name), site)

    async def scope_sites(self) -> frozenset[str]:
        """Return the sites that were added to the scope."""
        members = await self._client.command("SMEMBERS", keys.scope(self._crawl.name))
        return frozenset(member.decode() for member in members)

    def _wish(self, request: LeaseRequest) -> tuple[Arg, ...]:
        if not request.request_id or "\n" in request.slot + request.request_id:
            raise UsageError("A lease request needs an id, and neither id nor slot may hold a line break.")
        nonce = f"{self._random.randrange(1000):03}"
        jitter = f"{self._random.random():.3f}"
        return (request.request_id, request.site_hint or "", request.limit, "", nonce, jitter)

    async def _run(self, name: str, *args: Arg) -> Any:
        own = "" if self._own_time_ms is None else self._own_time_ms()
        return await self._client.run(name, self._ctl, own, *args)

    async def _open(self, reply: Sequence[Any], request: LeaseRequest) -> Lease | Idle:
        """Read what `lease` said; what cannot be read is buried, and the next is asked for."""
        asked = request
        while True:
            if reply[0] == b"IDLE":
                return Idle(reason=reply[1].decode(), retry_in_s=reply[2] / 1000)
            _, token, site, entry = reply
            try:
                return lease_of(token, site, entry, request.slot)
            except CorruptEntry as error:
                await self._bury_corrupt(entry, token, site, request.slot, str(error))
            asked = replace(asked, request_id=asked.request_id + "+")
            reply = await self._run("lease", asked.slot, *self._wish(asked))

    async def _bury_corrupt(self, entry: bytes, token: bytes, site: bytes, slot: str, why: str) -> None:
        fingerprint = entry[:16].decode()
        task = UrlTask(url="", site=site.decode(), fingerprint=fingerprint)
        await self.nack(Lease(task, slot, int(token)), Bury(FailureKind.CORRUPT, why))


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_DETAIL]

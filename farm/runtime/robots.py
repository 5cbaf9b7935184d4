"""The robots checker: called before every visit, and again for the target of a redirect.

Invariants: no page is visited before its origin's rules are known; an origin is requested once for all workers
of a node and, while Redis has the answer, once for all nodes; no slot waits for a crawl-delay; the cache is
bounded by its size, not only by the number of origins.

    cached here -> cached in Redis -> fetched by the node that claims it -> rules | open | closed (or no answer)
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from farm.model.clock import Clock
from farm.model.egress import EgressFault, FetchFailed
from farm.model.outcome import Judgement, Release, SkipReason
from farm.model.task import Lease
from farm.model.url import origin_of, site_of
from farm.policy.retry import RetryParams, retry_after_s
from farm.policy.verdict import (
    ROBOTS_CLOSED_S,
    ROBOTS_FAILED_S,
    ROBOTS_RULES_S,
    RobotsAnswer,
    crawl_delay_s,
    robots_answer,
    while_robots_closed,
    without_robots,
)
from farm.runtime.ports import Fetch, Permission, SharedCache

log = logging.getLogger("farm.robots")
REMEMBERED = 4096
REMEMBERED_BYTES = 16 * 2**20
"""Bytes of the files' texts; the parsed rules take about fifteen times that."""
THREAD_BYTES = 32 * 1024
"""A longer file is parsed in a thread: the longest takes about 60 ms."""
LOCAL_S = 600.0
CLAIM_S = 40.0
POLL_S = 0.2
CAP_BYTES = 512 * 1024 + 1
"""One more than the parser reads, so that it detects a longer file."""


SetSpacing = Callable[[str, float], Awaitable[bool]]
"""Sets the spacing of visits to a site in seconds, for every node; returns whether it was another before."""


class ParsedRobots(Protocol):
    """The rules of a robots.txt."""

    @property
    def crawl_delay_s(self) -> float | None:
        """The spacing of visits in seconds that it asks for."""
        ...

    @property
    def sitemaps(self) -> Sequence[str]:
        """The addresses of sitemaps in it."""
        ...

    @property
    def widened(self) -> int:
        """How many of its rules were widened to their prefix, because there are too many wildcards."""
        ...

    def allows(self, url: str) -> bool:
        """Return whether a canonical URL of its origin may be visited."""
        ...

    def surely_forbids(self, url: str) -> bool:
        """Return whether it is forbidden, if matching is fast enough for every link of a page; else False."""
        ...


class RobotsCache(SharedCache, Protocol):
    """A cache that all nodes share, with room for so many texts."""

    async def offer(self, origin: str, text: bytes, for_s: float) -> bool:
        """Store a text for `for_s` seconds if there is room, and end the claim; return whether there was."""
        ...


@dataclass(frozen=True, slots=True)
class OriginRobots:
    """The robots.txt of one origin, valid until a moment of this process's clock."""

    answer: RobotsAnswer
    rules: ParsedRobots
    until: float
    status: int = 200
    retry_after_s: float | None = None
    failed: FetchFailed | None = None
    size: int = 0


class RobotsChecker:
    """Checks whether a visit is allowed. `close` ends the fetches."""

    def __init__(
        self,
        fetch: Fetch,
        cache: RobotsCache,
        parse: Callable[[bytes], ParsedRobots],
        set_spacing: SetSpacing,
        retry: RetryParams,
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._cache = cache
        self._parse = parse
        self._set_spacing = set_spacing
        self._retry = retry
        self._clock = clock
        self._known: OrderedDict[str, OriginRobots] = OrderedDict()
        self._known_bytes = 0
        self._fetches: dict[str, asyncio.Task[tuple[OriginRobots, bool]]] = {}
        self._is_told = False

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:
        """Return why the address must not be visited with this lease, now or ever; None if it may be."""
        if not url.startswith(("http://", "https://")):
            return None
        known, spaced_anew = await self._of(origin_of(url))
        jitter = random.random()  # noqa: S311
        if known.failed is not None:
            return without_robots(known.failed, lease, jitter, self._retry)
        if known.answer is RobotsAnswer.CLOSED:
            return while_robots_closed(
                known.status, known.retry_after_s, lease.throttled, jitter, self._retry
            )
        if not known.rules.allows(url):
            return SkipReason.ROBOTS
        if spaced_anew:
            # This lease and others were granted before the spacing was known.
            return Release("the site's crawl-delay was not known")
        return None

    def forbids(self, url: str) -> bool:
        """Return whether cached rules forbid a canonical URL, so that it need not be queued.

        False does not mean that it may be visited: rules that are slow to match are checked before the visit only.
        """
        known = self._known.get(origin_of(url))
        return known is not None and known.until > self._clock.monotonic() and known.rules.surely_forbids(url)

    async def sitemaps(self, origin: str) -> Sequence[str]:
        """Return the addresses of the sitemaps in an origin's robots.txt."""
        return (await self._of(origin))[0].rules.sitemaps

    async def close(self) -> None:
        """End the fetches."""
        tasks = tuple(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _of(self, origin: str) -> tuple[OriginRobots, bool]:
        known = self._known.get(origin)
        if known is not None and known.until > self._clock.monotonic():
            self._known.move_to_end(origin)
            return known, False
        task = self._fetches.get(origin)
        if task is None:
            task = asyncio.create_task(self._ask(origin), name=f"robots {origin}")
            self._fetches[origin] = task
            task.add_done_callback(lambda _: self._fetches.pop(origin, None))
        # A worker that is cancelled must not cancel the fetch for the others.
        return await asyncio.shield(task)

    async def _ask(self, origin: str) -> tuple[OriginRobots, bool]:
        gives_up_at = self._clock.monotonic() + CLAIM_S
        waited = False
        while True:
            text = await self._cache.read(origin)
            known = await self._read(text) if text is not None else None
            if known is not None:
                return self._remember(origin, known), waited and known.rules.crawl_delay_s is not None
            if await self._cache.claim(origin, CLAIM_S) or self._clock.monotonic() > gives_up_at:
                return await self._fetched(origin)
            waited = True
            await asyncio.sleep(POLL_S)

    async def _fetched(self, origin: str) -> tuple[OriginRobots, bool]:
        got = await self._fetch(f"{origin}/robots.txt", CAP_BYTES)
        if isinstance(got, FetchFailed):
            # A failure on one node's egress says nothing about other nodes': it is not shared.
            await self._cache.yield_claim(origin)
            no_rules = self._parse(b"")
            now = self._clock.monotonic()
            # A proxy's fault gives the URL back at once: its next visit fetches again.
            is_proxys = got.egress_failure is not None and got.egress_failure.fault is EgressFault.UPSTREAM
            until = now if is_proxys else now + ROBOTS_FAILED_S
            failed = OriginRobots(RobotsAnswer.CLOSED, no_rules, until, failed=got)
            return self._remember(origin, failed), False
        answer = robots_answer(got.status)
        wait_s = None
        if answer is RobotsAnswer.CLOSED:
            wait_s = retry_after_s(got.headers.get("retry-after"), self._clock.wall(), self._retry)
        head = {"answer": answer, "status": got.status, "retry_after_s": wait_s}
        body = got.body if answer is RobotsAnswer.RULES else b""
        text = orjson.dumps(head) + b"\n" + body
        known = await self._parsed(answer, body, got.status, wait_s)
        if known.rules.widened:
            log.warning(
                "%s/robots.txt has too many wildcards: %d of its rules forbid every path with their prefix",
                origin,
                known.rules.widened,
            )
        delay_s = crawl_delay_s(known.rules.crawl_delay_s)
        # A file that is fetched again, for want of room, must not give its URLs back again and again.
        spaced_anew = delay_s > 0 and await self._set_spacing(site_of(origin), delay_s)
        life_s = ROBOTS_CLOSED_S if answer is RobotsAnswer.CLOSED else ROBOTS_RULES_S
        if not await self._cache.offer(origin, text, life_s) and not self._is_told:
            self._is_told = True
            log.warning(
                "Redis has no room for more texts of robots.txt: those of further hosts are fetched by each node"
            )
        return self._remember(origin, known), spaced_anew

    async def _read(self, text: bytes) -> OriginRobots | None:
        """Decode what a node has written; None if it is unreadable."""
        head, _, body = text.partition(b"\n")
        try:
            fields = orjson.loads(head)
            answer = RobotsAnswer(fields["answer"])
            status, wait_s = int(fields["status"]), fields["retry_after_s"]
            wait_s = None if wait_s is None else float(wait_s)
        except (ValueError, TypeError, KeyError):
            return None
        return await self._parsed(answer, body, status, wait_s)

    async def _parsed(
        self, answer: RobotsAnswer, body: bytes, status: int, wait_s: float | None
    ) -> OriginRobots:
        lasts_s = ROBOTS_CLOSED_S if answer is RobotsAnswer.CLOSED else LOCAL_S
        until = self._clock.monotonic() + lasts_s
        long = len(body) > THREAD_BYTES
        rules = await asyncio.to_thread(self._parse, body) if long else self._parse(body)
        return OriginRobots(answer, rules, until, status, wait_s, size=len(body))

    def _remember(self, origin: str, known: OriginRobots) -> OriginRobots:
        before = self._known.pop(origin, None)
        self._known[origin] = known
        self._known_bytes += known.size - (before.size if before else 0)
        while len(self._known) > REMEMBERED or (
            len(self._known) > 1 and self._known_bytes > REMEMBERED_BYTES
        ):
            self._known_bytes -= self._known.popitem(last=False)[1].size
        return known


class VisitPermission:
    """Checks whether a visit may take place; implements `Permission`.

    What `should_skip` tells need not be visited is refused before robots.txt is asked for; not a page that was
    kept and is to be replaced: it would stay as it is.
    """

    def __init__(self, robots: Permission, should_skip: Callable[[str], bool]) -> None:
        self._robots = robots
        self._should_skip = should_skip

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:
        """Return why the address is not to be visited with this lease, now or ever; None if it may be."""
        if not lease.task.revision and self._should_skip(url):
            return SkipReason.DUPLICATE_CONTENT
        return await self._robots.refusal(lease, url)


class AllowAll:
    """Replaces the checker if robots.txt is ignored."""

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:  # noqa: ARG002
        """Refuse nothing."""
        return None

    def forbids(self, url: str) -> bool:  # noqa: ARG002
        """Forbid nothing."""
        return False

    async def sitemaps(self, origin: str) -> Sequence[str]:  # noqa: ARG002
        """Return none."""
        return ()

    async def close(self) -> None:
        """Do nothing: nothing is fetched."""

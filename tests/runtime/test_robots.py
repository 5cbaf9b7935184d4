"""The robots checker on a manual clock, with a cache and a network of the test's."""

import asyncio
from dataclasses import dataclass, field

import pytest

from farm.model.egress import EgressFailure, EgressFault, Fetched, FetchFailed
from farm.model.outcome import Bury, FailureKind, Release, Retry, SkipReason
from farm.model.task import Lease, UrlTask
from farm.policy.retry import RetryParams
from farm.runtime import robots
from farm.runtime.robots import AllowAll, RobotsChecker, VisitPermission
from farm.scope.robots import parse
from tests.clock import ManualClock

SITE = "http://a.example"
CLOSED = b"User-agent: *\nDisallow: /x\n"


@dataclass
class Cache:
    """What all nodes know, in a dictionary."""

    texts: dict[str, bytes] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)
    lives_s: list[float] = field(default_factory=list)
    has_room: bool = True

    async def read(self, origin: str) -> bytes | None:
        """Look."""
        return self.texts.get(origin)

    async def write(self, origin: str, text: bytes, for_s: float) -> None:
        """Keep."""
        self.texts[origin] = text
        self.lives_s.append(for_s)
        self.claims.discard(origin)

    async def offer(self, origin: str, text: bytes, for_s: float) -> bool:
        """Keep while there is room."""
        if self.has_room:
            await self.write(origin, text, for_s)
        self.claims.discard(origin)
        return self.has_room

    async def claim(self, origin: str, for_s: float) -> bool:
        """Claim once."""
        free = origin not in self.claims
        self.claims.add(origin)
        return free

    async def yield_claim(self, origin: str) -> None:
        """Free."""
        self.claims.discard(origin)


@dataclass
class Node:
    """A checker with a network that answers what the test says."""

    cache: Cache = field(default_factory=Cache)
    answer: Fetched | FetchFailed = field(default_factory=lambda: Fetched(SITE, 200, {}, CLOSED))
    asked: list[str] = field(default_factory=list)
    spacings: list[tuple[str, float]] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.checker = RobotsChecker(self.fetch, self.cache, parse, self.space, RetryParams(), self.clock)

    async def fetch(self, url: str, cap_bytes: int) -> Fetched | FetchFailed:
        """Answer when the test lets it."""
        self.asked.append(url)
        await self.may_answer.wait()
        return self.answer

    async def space(self, site: str, interval_s: float) -> bool:
        """Note a spacing."""
        self.spacings.append((site, interval_s))
        return self.spacings.count((site, interval_s)) == 1

    async def says(
        self, path: str, *, attempt: int = 1, throttled: int = 0
    ) -> Retry | Bury | Release | SkipReason | None:
        """Ask about a path."""
        url = SITE + path
        lease = Lease(UrlTask(url, "a.example", "0" * 16), "s", 1, attempt, throttled)
        return await self.checker.refusal(lease, url)


async def test_an_origin_is_asked_once() -> None:
    """For all workers that wait, for later ones, and for other nodes."""
    node = Node()
    node.may_answer.clear()
    waiting = [asyncio.ensure_future(node.says(path)) for path in ("/x", "/y", "/x/z")]
    await asyncio.wait(waiting, timeout=0)
    node.may_answer.set()
    assert await asyncio.gather(*waiting) == [SkipReason.ROBOTS, None, SkipReason.ROBOTS]
    assert await node.says("/y") is None
    other = Node(node.cache)
    assert await other.says("/x") is SkipReason.ROBOTS
    assert (node.asked, other.asked) == ([f"{SITE}/robots.txt"], [])


async def test_a_worker_that_is_stopped_leaves_the_others_their_answer() -> None:
    """The fetch belongs to no single worker."""
    node = Node()
    node.may_answer.clear()
    first, second = (asyncio.ensure_future(node.says("/x")) for _ in range(2))
    await asyncio.wait([first], timeout=0)
    first.cancel()
    node.may_answer.set()
    assert await second is SkipReason.ROBOTS
    assert first.cancelled()


async def test_rules_are_looked_up_again_after_a_while() -> None:
    """From Redis, where they live for a day."""
    node = Node()
    await node.says("/x")
    assert node.checker.forbids(f"{SITE}/x")
    assert not node.checker.forbids(f"{SITE}/y")
    assert not node.checker.forbids("http://unknown.example/x")
    node.clock.now = 700
    assert not node.checker.forbids(f"{SITE}/x")
    assert await node.says("/x") is SkipReason.ROBOTS
    assert len(node.asked) == 1
    assert node.cache.lives_s == [24 * 3600]


async def test_a_refusing_server_allows_everything() -> None:
    """404, 401, 410, and redirects without an end."""
    for status in (404, 401, 410, 301):
        assert await Node(answer=Fetched(SITE, status, {}, CLOSED)).says("/x") is None


async def test_an_overloaded_server_forbids_everything_for_now() -> None:
    """5xx and 429 put the site off as long as it asks, and are asked again."""
    for status in (500, 503, 429):
        node = Node(answer=Fetched(SITE, status, {"retry-after": "120"}, b""))
        refusal = await node.says("/y")
        assert isinstance(refusal, Retry)
        assert (refusal.delay_s, refusal.throttled) == (120, True)
        assert isinstance(await node.says("/y", throttled=20), Bury)
        node.clock.now, node.cache.texts = 121, {}
        node.answer = Fetched(SITE, 200, {}, CLOSED)
        assert await node.says("/y") is None


async def test_without_an_answer_the_visit_has_failed_and_no_page_is_asked_for() -> None:
    """As it would have failed by itself; the failure is not shared with other nodes."""
    node = Node(answer=FetchFailed(FailureKind.TIMEOUT, "silence"))
    refusal = await node.says("/y")
    assert isinstance(refusal, Retry)
    assert (refusal.reason, refusal.throttled) == (FailureKind.TIMEOUT, False)
    assert isinstance(await node.says("/y", attempt=4), Bury)
    assert (len(node.asked), node.cache.texts, node.cache.claims) == (1, {}, set())
    node.clock.now, node.answer = 6, Fetched(SITE, 200, {}, CLOSED)
    assert await node.says("/y") is None


async def test_a_closed_network_and_a_proxy_at_fault_are_told_apart() -> None:
    """As for a page: a late skip, and a URL released."""
    refused = FetchFailed(FailureKind.NETWORK, "", EgressFailure(EgressFault.REFUSED, ""))
    assert await Node(answer=refused).says("/y") is SkipReason.PRIVATE_NETWORK
    proxy = FetchFailed(FailureKind.NETWORK, "", EgressFailure(EgressFault.UPSTREAM, "407"))
    assert isinstance(await Node(answer=proxy).says("/y"), Release)


async def test_a_crawl_delay_gives_back_what_was_leased_before_it_was_known() -> None:
    """And nothing after that: the frontier keeps the spacing."""
    node = Node(answer=Fetched(SITE, 200, {}, b"User-agent: *\nCrawl-delay: 100000\n"))
    assert isinstance(await node.says("/y"), Release)
    assert node.spacings == [("a.example", 60)]
    assert await node.says("/y") is None
    assert await Node(node.cache).says("/y") is None


async def test_a_file_that_is_fetched_again_gives_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither Redis nor the node has room for it, its URLs would be given back for ever."""
    monkeypatch.setattr(robots, "REMEMBERED", 1)
    node = Node(Cache(has_room=False), Fetched(SITE, 200, {}, b"User-agent: *\nCrawl-delay: 9\n"))
    assert isinstance(await node.says("/y"), Release)
    await node.checker.sitemaps("http://b.example")
    assert await node.says("/y") is None
    assert len(node.asked) == 3


async def test_closing_ends_what_is_being_fetched() -> None:
    """Nothing is left running."""
    node = Node()
    node.may_answer.clear()
    waiting = asyncio.ensure_future(node.says("/x"))
    await asyncio.wait([waiting], timeout=0)
    await node.checker.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_what_somebody_has_garbled_in_redis_is_fetched_anew() -> None:
    """It is no answer, and ends nothing."""
    for text in (b"", b"\0\n", b"[]\n", b"{}\n", b'{"answer": "x", "status": 1, "retry_after_s": null}\n'):
        node = Node(Cache({SITE: text}))
        assert await node.says("/x") is SkipReason.ROBOTS
        assert len(node.asked) == 1


async def test_without_room_in_redis_each_node_fetches_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Its own memory has the rules; that the others have none of it is said once."""
    node = Node(Cache(has_room=False))
    for _ in range(2):
        assert await node.says("/x") is SkipReason.ROBOTS
    await node.checker.sitemaps("http://b.example")
    assert (len(node.asked), node.cache.texts, node.cache.claims) == (2, {}, set())
    assert len([one for one in caplog.messages if "no room for more texts of robots.txt" in one]) == 1
    other = Node(node.cache)
    assert await other.says("/x") is SkipReason.ROBOTS
    assert len(other.asked) == 1


async def test_what_is_remembered_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long files push out those that were requested longest ago; one alone is kept."""
    monkeypatch.setattr(robots, "REMEMBERED_BYTES", 100_000)
    node = Node(answer=Fetched(SITE, 200, {}, CLOSED + b"#" * 30_000))
    origins = [f"http://{n}.example" for n in range(10)]
    for origin in origins:
        await node.checker.sitemaps(origin)
    assert list(node.checker._known) == origins[-3:]
    assert node.checker._known_bytes == sum(known.size for known in node.checker._known.values())
    node.answer = Fetched(SITE, 200, {}, CLOSED + b"#" * 300_000)
    await node.checker.sitemaps(SITE)
    assert list(node.checker._known) == [SITE]


async def test_a_file_with_too_many_wildcards_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """And forbids too much rather than too little; a long one is parsed beside the loop."""
    rules = b"".join(b"Disallow: /x*%d\n" % n for n in range(20_000))
    node = Node(answer=Fetched(SITE, 200, {}, b"User-agent: *\n" + rules))
    assert await node.says("/x/19999") is SkipReason.ROBOTS
    assert await node.says("/y") is None
    assert [record.getMessage() for record in caplog.records] == [
        f"{SITE}/robots.txt has too many wildcards: 10000 of its rules forbid every path with their prefix"
    ]


async def test_what_shows_the_same_as_others_is_refused_without_its_robots() -> None:
    """They would be fetched for nothing; whatever else is requested is theirs to judge."""
    node = Node()
    permission = VisitPermission(node.checker, lambda url: url.endswith("/same"))

    def leased(path: str) -> Lease:
        return Lease(UrlTask(SITE + path, "a.example", "0" * 16), "s", 1)

    assert await permission.refusal(leased("/same"), f"{SITE}/same") is SkipReason.DUPLICATE_CONTENT
    assert node.asked == []
    assert await permission.refusal(leased("/x"), f"{SITE}/x") is SkipReason.ROBOTS
    assert await VisitPermission(AllowAll(), lambda _: False).refusal(leased("/x"), f"{SITE}/x") is None


async def test_a_page_that_is_to_be_replaced_is_visited_whatever_others_show() -> None:
    """What was kept of it is wrong, and would stay."""
    task = UrlTask(f"{SITE}/same", "a.example", "0" * 16, revision=1)
    permission = VisitPermission(AllowAll(), lambda _: True)
    assert await permission.refusal(Lease(task, "s", 1), task.url) is None

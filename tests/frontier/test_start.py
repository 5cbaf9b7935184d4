"""The last word before a request goes out: spacing holds between beginnings, not only between leases."""

from farm.frontier.client import RedisClient
from farm.frontier.terms import Politeness
from farm.model.outcome import FailureKind, Retry
from farm.policy.aimd import Pace
from tests.frontier.support import Bench


async def test_visits_that_were_leased_apart_do_not_begin_together(
    client: RedisClient, redis_url: str
) -> None:
    """Three slots whose contexts took their time come at once: one begins, the others are told when to ask."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=1))
    assert [await bench.frontier.may_begin("a") for _ in range(3)] == [0, 1, 1]
    assert await bench.frontier.may_begin("b") == 0
    bench.clock.advance(0.6)
    assert await bench.frontier.may_begin("a") == 0.4
    bench.clock.advance(0.4)
    assert [await bench.frontier.may_begin("a") for _ in range(2)] == [0, 1]
    bench.clock.advance(10)
    assert [await bench.frontier.may_begin("a") for _ in range(2)] == [0, 1]
    assert await bench.frontier.audit() == []


async def test_what_may_be_saved_up_may_begin_together(client: RedisClient, redis_url: str) -> None:
    """A burst of three, and one a second after it."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=1, burst=3))
    assert [await bench.frontier.may_begin("a") for _ in range(4)] == [0, 0, 0, 1]
    bench.clock.advance(1)
    assert [await bench.frontier.may_begin("a") for _ in range(2)] == [0, 1]


async def test_without_a_spacing_every_visit_begins_at_once(bench: Bench) -> None:
    """And nothing is written down."""
    assert [await bench.frontier.may_begin("a", "p1") for _ in range(3)] == [0, 0, 0]
    assert await bench.client.keys("{test:*}:site:*") == []


async def test_nobody_begins_under_a_block(bench: Bench) -> None:
    """Also where the lease was granted before it; a negative answer says for how long."""
    await bench.add("a/1", "a/2", "a/3")
    first, _, _ = await bench.lease("s1"), await bench.lease("s2"), await bench.lease("s3", egress="p1")
    await bench.frontier.nack(first, Retry(FailureKind.THROTTLED, 20, throttled=True))
    assert await bench.frontier.may_begin("a") == -20
    assert await bench.frontier.may_begin("a", "p1") == -20
    bench.clock.advance(20)
    assert await bench.frontier.may_begin("a") == 0


async def test_a_block_of_one_address_lets_the_others_begin(bench: Bench) -> None:
    """Nine of ten proxies go on."""
    await bench.add("a/1")
    await bench.frontier.block("a", 5, egress="p1")
    assert await bench.frontier.may_begin("a", "p1") == -5
    assert await bench.frontier.may_begin("a", "p2") == 0
    assert await bench.frontier.may_begin("a") == 0


async def test_an_address_has_a_spacing_of_its_own_everywhere(client: RedisClient, redis_url: str) -> None:
    """Whatever the sites."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(egress_interval_s=2))
    assert await bench.frontier.may_begin("a", "p1") == 0
    assert await bench.frontier.may_begin("b", "p1") == 2
    assert await bench.frontier.may_begin("b", "p2") == 0


async def test_what_is_learnt_of_an_address_spaces_it_at_its_site_alone(bench: Bench) -> None:
    """In leases and in beginnings; the site and the other addresses are as before."""
    await bench.add(*(f"a/{n}" for n in range(9)), "b/1")
    book = bench.frontier.paces
    known = await book.read("a", "p1")
    assert await book.write("a", known, Pace(8, rate=1 / 1.1), "p1") is None
    again = await book.write("a", known, Pace(7), "p1")
    assert again is not None
    assert again.pace == Pace(8, rate=1 / 1.1)
    assert (await book.read("a")).pace is None
    assert (await bench.lease("s1", egress="p1")).task.site == "a"
    assert (await book.read("a", "p1")).in_flight == 1
    assert (await bench.lease("s2", egress="p1")).task.site == "b"
    assert (await bench.idle("s3", egress="p1")).reason == "waiting"
    assert (await bench.lease("s3", egress="p2")).task.site == "a"
    assert [await bench.frontier.may_begin("a", "p1") for _ in range(2)] == [0, 1]
    assert await bench.frontier.may_begin("a", "p2") == 0
    await bench.frontier.block("a", 9, egress="p1")
    known = await book.read("a", "p1")
    assert known.blocked_until_s == known.now_s + 9
    bench.clock.advance(9)
    assert (await bench.lease("s4", egress="p1")).task.site == "a"
    assert await bench.frontier.audit() == []


async def test_what_has_begun_without_asking_keeps_the_next_away(client: RedisClient, redis_url: str) -> None:
    """A redirect's second hop: nobody could put it off, under a block neither."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=1))
    assert [await bench.frontier.may_begin("a", begun=begun) for begun in (False, True, True)] == [0, 0, 0]
    assert await bench.frontier.may_begin("a") == 3
    for _ in range(9):
        await bench.frontier.may_begin("a", begun=True)
    assert await bench.frontier.may_begin("a") == 4
    await bench.add("b/1")
    await bench.frontier.block("b", 5)
    assert await bench.frontier.may_begin("b", begun=True) == 0
    assert await bench.frontier.may_begin("b") == -5


async def test_everything_together_has_a_spacing(client: RedisClient, redis_url: str) -> None:
    """Whatever the sites and the addresses."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(global_interval_s=1))
    assert await bench.frontier.may_begin("a") == 0
    assert await bench.frontier.may_begin("b", "p1") == 1
    bench.clock.advance(1)
    assert await bench.frontier.may_begin("b", "p1") == 0
    assert await bench.frontier.audit() == []

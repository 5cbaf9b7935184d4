"""What the nodes learn of a site's pace, in Redis: nobody overwrites another, and it holds with the next lease."""

from dataclasses import replace

from farm.frontier.client import RedisClient
from farm.frontier.terms import Politeness
from farm.model.outcome import FailureKind, Retry
from farm.policy.aimd import Pace
from tests.frontier.support import Bench


async def test_what_is_learnt_holds_with_the_next_lease(client: RedisClient, redis_url: str) -> None:
    """Places in flight, and a spacing whose mean is the rate."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(in_flight=8))
    await bench.add(*(f"a/{n}" for n in range(9)))
    book = bench.frontier.paces
    known = await book.read("a")
    assert (known.pace, known.first, known.in_flight) == (None, 8, 0)
    assert await book.write("a", known, Pace(2.7, rate=2.0)) is None
    await bench.lease("s1")
    assert (await bench.idle("s2")).reason == "waiting"
    bench.clock.advance(0.56)
    await bench.lease("s2")
    bench.clock.advance(0.56)
    await bench.idle("s3")
    known = await book.read("a")
    assert (known.pace, known.in_flight) == (Pace(2.7, rate=2.0), 2)
    assert await bench.frontier.audit() == []


async def test_of_two_that_learn_at_once_the_second_is_told(bench: Bench) -> None:
    """So that it adds to what the first has learnt."""
    book = bench.frontier.paces
    before = await book.read("a")
    assert await book.write("a", before, Pace(5, latencies=(1, 2), delivered=((7, 3),))) is None
    there = await book.write("a", before, Pace(6))
    assert there is not None
    assert there.pace == Pace(5, latencies=(1, 2), delivered=((7, 3),))
    assert await book.write("a", there, Pace(6)) is None


async def test_a_crawl_delay_and_the_users_rate_outlast_what_is_learnt(
    client: RedisClient, redis_url: str
) -> None:
    """Whichever is known first."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=0.2))
    book = bench.frontier.paces
    await book.write("a", await book.read("a"), Pace(8, rate=100))
    assert await bench.raw("HGET", "@site:a", "i") == b"200"
    await book.keep_apart("a", 3)
    assert await bench.raw("HGET", "@site:a", "i") == b"3000"
    known = await book.read("a")
    await book.write("a", known, replace(known.pace or Pace(8), rate=50))
    assert await bench.raw("HGET", "@site:a", "i") == b"3000"


async def test_a_block_is_seen_by_whoever_learns(bench: Bench) -> None:
    """It came with the settlement."""
    await bench.add("a/1")
    lease = await bench.lease()
    await bench.frontier.nack(lease, Retry(FailureKind.THROTTLED, 30, throttled=True))
    known = await bench.frontier.paces.read("a")
    assert known.blocked_until_s == known.now_s + 30


async def test_a_state_of_another_version_is_learnt_anew(bench: Bench) -> None:
    """And can be written over."""
    await bench.raw("HSET", "@site:a", "a", b'{"limit": 3, "other": 4}')
    book = bench.frontier.paces
    known = await book.read("a")
    assert known.pace is None
    assert await book.write("a", known, Pace(4)) is None

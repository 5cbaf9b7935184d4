"""The limits over all shards: a busy shard has what the others do not use, and together they keep to the limit."""

from itertools import count

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.lending import EVERY_S, Lending
from farm.frontier.shards import shard_of
from farm.frontier.terms import Politeness
from farm.model.outcome import Ack
from farm.model.task import Lease
from tests.frontier.support import Bench

SHARDS = 4
RATE = 10.0
ROUNDED = 1.02
"""Intervals are read in whole milliseconds."""
SITES = [f"site{n}" for n in range(400)]


def _sites(shard: int, number: int) -> list[str]:
    return [site for site in SITES if shard_of(site, SHARDS) == shard][:number]


async def _rates(bench: Bench) -> list[float]:
    return [1000 / one["all_interval"] for one in await bench.frontier.shards.counters()]


async def _visits(bench: Bench, seconds: int) -> int:
    """Lease and settle whatever may begin, as soon as it may; return how many visits began."""
    visits = 0
    for step in range(50 * seconds):
        bench.clock.advance(0.02)
        while isinstance(got := await bench.frontier.lease(bench.wish()), Lease):
            visits += 1
            await bench.frontier.ack(got, Ack())
        if step % 50 == 0:
            await bench.frontier.maintain()
    return visits


async def test_a_shard_with_all_the_work_has_nearly_all_of_the_rate(
    client: RedisClient, redis_url: str
) -> None:
    """Without lending it would have a quarter."""
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / RATE)
    )
    await bench.add(*(f"{site}/{n}" for site in _sites(1, 10) for n in range(60)))
    await _visits(bench, 20)
    assert await _visits(bench, 20) >= 0.8 * 20 * RATE
    assert sum(await _rates(bench)) <= RATE * ROUNDED


async def test_work_that_comes_to_another_shard_has_its_part_of_the_rate(
    client: RedisClient, redis_url: str
) -> None:
    """The shard that had all of it gives it back, and the new one does not wait for what it was set back to."""
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / RATE)
    )
    await bench.add(*(f"{site}/{n}" for site in _sites(1, 10) for n in range(100)))
    await _visits(bench, 20)
    await bench.add(*(f"{site}/{n}" for site in _sites(2, 10) for n in range(60)))
    await _visits(bench, 20)
    rates = sorted(await _rates(bench))
    assert [round(rate) for rate in rates[-2:]] == [5, 5]
    assert rates[1] < 0.1 * rates[-1]


async def test_what_shards_with_little_work_do_not_use_goes_to_the_busy_one(
    client: RedisClient, redis_url: str
) -> None:
    """They use some of theirs all the time: how much counts, and not that they use any."""
    rate = 4 * RATE
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / rate)
    )
    for shard in (0, 2, 3):
        [site] = _sites(shard, 1)
        await bench.limit_site(site, interval_s=0.5)
        await bench.add(*(f"{site}/{n}" for n in range(60)))
    await bench.add(*(f"{site}/{n}" for site in _sites(1, 10) for n in range(70)))
    await _visits(bench, 10)
    # An equal share for each shard in which there was any lease would be 10, and 6 of the others' visits.
    assert await _visits(bench, 10) >= 0.55 * 10 * rate
    assert sum(await _rates(bench)) <= rate * ROUNDED


async def test_the_places_in_flight_go_where_they_are_used(client: RedisClient, redis_url: str) -> None:
    """Each shard keeps one; what is under way where places are taken away is waited for."""
    bench = await Bench.open(client, redis_url, shards=SHARDS, politeness=Politeness(global_in_flight=16))
    await bench.add(*(f"{site}/{n}" for site in _sites(1, 20) for n in range(3)))
    held: list[Lease] = []
    slots = (f"s{n}" for n in count())

    async def take() -> None:
        while isinstance(got := await bench.frontier.lease(bench.wish(next(slots))), Lease):
            held.append(got)

    await take()
    assert len(held) == 4
    for _ in range(8):
        bench.clock.advance(EVERY_S)
        await bench.frontier.maintain()
        await take()
    assert len(held) == 16 - 3
    await bench.add(*(f"{site}/{n}" for site in _sites(2, 20) for n in range(3)))
    await take()
    assert len(held) == 16 - 2
    for _ in range(8):
        bench.clock.advance(EVERY_S)
        await bench.frontier.maintain()
        await take()
        assert len(held) <= 16
        await bench.frontier.ack(held.pop(0), Ack())
    assert len({lease.task.site for lease in held} & set(_sites(2, 20))) >= 3


async def test_a_lender_that_another_has_followed_changes_nothing(
    client: RedisClient, redis_url: str
) -> None:
    """It was stopped in between: what it raises now would be too much."""
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / RATE)
    )
    shards = bench.frontier.shards
    lender = int((await shards.run(0, "lend", "begin", 0, "100", 0))[0])
    assert await shards.run(2, "lend", "look", lender)
    assert await shards.run(2, "lend", "set", lender, "200", 0)
    later = int((await shards.run(0, "lend", "begin", 0, "100", 0))[0])
    assert await shards.run(2, "lend", "look", later)
    before = await _rates_as_they_are(bench)
    assert await shards.run(2, "lend", "set", lender, "1", 0) == []
    assert await _rates_as_they_are(bench) == before


async def _rates_as_they_are(bench: Bench) -> list[int]:
    return [one["all_interval"] for one in await bench.frontier.shards.counters()]


async def test_a_lender_that_dies_in_between_loses_nothing_for_long(
    client: RedisClient, redis_url: str
) -> None:
    """The sum is below the limit until the next one makes up for it."""
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / RATE)
    )
    await bench.add(*(f"{site}/{n}" for site in _sites(1, 10) for n in range(60)))
    shards = bench.frontier.shards
    lender = int((await shards.run(0, "lend", "begin", 0, "100", 0))[0])
    for shard in (0, 2, 3):
        await shards.run(shard, "lend", "set", lender, "4000", 0)
    assert sum(await _rates(bench)) < 0.4 * RATE
    await _visits(bench, 20)
    assert await _visits(bench, 10) >= 0.8 * 10 * RATE


async def test_only_the_two_terms_are_changed(client: RedisClient, redis_url: str) -> None:
    """They stand among others in one string."""
    politeness = Politeness(global_interval_s=1 / RATE, global_in_flight=16)
    bench = await Bench.open(client, redis_url, shards=SHARDS, politeness=politeness)
    before = (await bench.frontier.shards.counters())[2]
    assert await bench.frontier.shards.run(2, "lend", "set", 1, "123", 7) == [b"123", 7]
    assert (await bench.frontier.shards.counters())[2] == {**before, "all_interval": 123, "all_limit": 7}


async def test_one_lends_at_a_time(client: RedisClient, redis_url: str) -> None:
    """Whichever node comes first; the others come in vain until it is time again."""
    bench = await Bench.open(
        client, redis_url, shards=SHARDS, politeness=Politeness(global_interval_s=1 / RATE)
    )
    nodes = [Lending(bench.frontier.shards) for _ in range(3)]
    begun = [await node._shards.run(0, "lend", "begin", round(EVERY_S * 1000), "100", 0) for node in nodes]
    assert [len(reply) for reply in begun] == [3, 0, 0]


@pytest.mark.parametrize("politeness", [Politeness(), Politeness(interval_s=1)])
async def test_without_a_limit_over_all_shards_nothing_is_asked(
    client: RedisClient, redis_url: str, politeness: Politeness
) -> None:
    """Not even once in a while."""
    bench = await Bench.open(client, redis_url, shards=SHARDS, politeness=politeness)
    assert not await bench.frontier._lending.lend()
    assert await client.command("EXISTS", f"{keys.ctl(bench.crawl)[:-3]}lending") == 0

"""What is known stays known: exactly by default, or by a Bloom filter that grows."""

import random

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.crawl import Dedup
from farm.frontier.scripts import PARTS, compose
from farm.frontier.shards import decode_counters, encode_counters
from farm.model.task import UrlTask
from tests.frontier.support import Bench


def _tasks(count: int, seed: int) -> list[UrlTask]:
    chance = random.Random(seed)
    return [
        UrlTask(f"http://a/{seed}/{n}", f"s{n % 50}", f"{chance.getrandbits(64):016x}") for n in range(count)
    ]


async def _counters(bench: Bench) -> dict[str, int]:
    return decode_counters(await bench.raw("GET", "@ctl"))


async def test_a_crowded_bucket_is_as_exact_as_any(bench: Bench) -> None:
    """A bucket that is crowded beyond an integer set still knows each fingerprint."""
    tasks = _tasks(3000, 1)
    # The top 12 bits choose the bucket.
    crowded = [UrlTask(t.url, t.site, "000" + t.fingerprint[3:]) for t in tasks]
    assert await bench.frontier.add(crowded) == 3000
    assert await bench.frontier.add(crowded) == 0
    await bench.ledger()


async def test_nothing_is_forgotten_when_buckets_are_split(client: RedisClient, redis_url: str) -> None:
    """A crawl that has outgrown its buckets keeps every fingerprint, in small buckets."""
    bench = await Bench.open(client, redis_url)
    counters = await _counters(bench)
    # Pretend that most of what fits 4,096 buckets is known: the rest makes them split.
    await bench.raw("SET", "@ctl", encode_counters({**counters, "dropped": 200 * 4096 - 1000}))
    tasks = _tasks(10_000, 2)
    for start in range(0, len(tasks), 500):
        assert await bench.frontier.add(tasks[start : start + 500]) == 500
    assert (await _counters(bench))["buckets"] == 4096 + (len(tasks) - 1000) // 200
    assert await bench.frontier.add(tasks) == 0
    violations = await bench.frontier.audit()
    assert violations == [
        f"{len(tasks)} fingerprints are known, accepted, seen and dropped are {len(tasks) + 818200}"
    ]


@pytest.mark.parametrize("capacity", [100, 6000])
async def test_a_bloom_filter_knows_all_it_was_told(
    client: RedisClient, redis_url: str, capacity: int
) -> None:
    """Over several generations, or within one; what it turns away wrongly is rare and counted."""
    bench = await Bench.open(client, redis_url, dedup=Dedup.BLOOM, bloom_capacity=capacity)
    tasks = _tasks(5000, 3)
    accepted = await bench.frontier.add(tasks)
    assert accepted >= 4996
    assert await bench.frontier.add(tasks) == 0
    stats = await bench.frontier.stats()
    assert stats.duplicates == 5000 + (5000 - accepted)
    assert (await _counters(bench))["generations"] == (6 if capacity == 100 else 1)
    assert (await bench.ledger()).queued == accepted


PROBE = compose(
    {
        "probe": """#!lua flags=no-writes
-- Purpose:   count how many fingerprints a Bloom filter takes for known.
-- Guarantee: changes nothing.
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time · 2.. fingerprints
-- Returns:   how many
begin()
tallies()
local count = 0
for i = 2, #ARGV do
  count = count + (is_in_bloom(ARGV[i], false) and 1 or 0)
end
return count
"""
    },
    PARTS,
)


async def test_a_full_bloom_filter_is_wrong_once_in_ten_thousand(client: RedisClient, redis_url: str) -> None:
    """At its capacity, asked about twice as many that it never saw."""
    capacity = 60_000
    bench = await Bench.open(client, redis_url, dedup=Dedup.BLOOM, bloom_capacity=capacity)
    turned_away = capacity - await bench.frontier.add(_tasks(capacity, 4))
    assert (await _counters(bench))["generations"] == 1
    strangers = [task.fingerprint for task in _tasks(2 * capacity, 5)]
    await client.command("FUNCTION LOAD", "REPLACE", PROBE.text)
    wrong = 0
    for start in range(0, len(strangers), 1000):
        part = strangers[start : start + 1000]
        wrong += await bench.raw("FCALL", PROBE.function("probe"), 1, "@ctl", bench.clock.ms, *part)
    assert wrong <= 2 * capacity // 10_000
    assert turned_away <= capacity // 10_000

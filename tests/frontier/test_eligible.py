"""How many URLs could be leased now, beside how many are: what scales a farm must not count what only waits."""

import subprocess
from random import Random

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.terms import Politeness
from farm.model.outcome import FailureKind, Retry
from farm.model.task import Lease
from tests.frontier.support import Bench

SITES = 12
POLITENESS = {
    "no limits": Politeness(),
    "places at a site": Politeness(in_flight=3),
    "a rate": Politeness(interval_s=2),
    "a rate with a burst, and places": Politeness(interval_s=2, burst=4, in_flight=3),
    "places in all": Politeness(in_flight=3, global_in_flight=7),
    "a rate in all": Politeness(global_interval_s=1),
}


async def leased_until_idle(bench: Bench, slots: str) -> list[Lease]:
    """Lease to one new slot after the other, until there is nothing: the truth."""
    leases: list[Lease] = []
    while isinstance(got := await bench.frontier.lease(bench.wish(f"{slots}/{len(leases)}")), Lease):
        leases.append(got)
    return leases


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("politeness", POLITENESS.values(), ids=POLITENESS)
async def test_it_is_what_can_be_leased_where_half_of_the_sites_are_blocked(
    client: RedisClient, redis_url: str, politeness: Politeness, shards: int
) -> None:
    """At every moment: with all free, with some leased and delayed, and once the blocks are over."""
    bench = await Bench.open(client, redis_url, politeness=politeness, shards=shards)
    random = Random(17)
    for band in (5, 5, 2):
        urls = [f"s{random.randrange(SITES)}/{band}/{random.random()}" for _ in range(60)]
        await bench.add(*urls, priority=band)
    for site in range(0, SITES, 2):
        await bench.frontier.block(f"s{site}", 60)
    counted, queued = await bench.frontier.eligible(), (await bench.ledger()).queued
    leases = await leased_until_idle(bench, "a")
    assert (counted, await bench.frontier.eligible()) == (len(leases), 0)
    assert 0 < counted < queued
    for number, lease in enumerate(leases):
        if number % 3 == 0:
            await bench.done(lease)
        elif number % 3 == 1:
            await bench.frontier.nack(lease, Retry(FailureKind.TIMEOUT, 5))
    bench.clock.advance(3)
    counted = await bench.frontier.eligible()
    assert counted == len(await leased_until_idle(bench, "b"))
    bench.clock.advance(70)
    await bench.frontier.maintain()
    counted = await bench.frontier.eligible()
    assert counted == len(await leased_until_idle(bench, "c"))
    assert counted > 0


async def test_a_site_of_many_urls_counts_with_its_free_places(client: RedisClient, redis_url: str) -> None:
    """A thousand URLs of one polite site are work for three contexts and no more."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(in_flight=3))
    await bench.add(*(f"a/{number}" for number in range(1000)))
    assert await bench.frontier.eligible() == 3
    await bench.limit_site("a", in_flight=5)
    assert await bench.frontier.eligible() == 5
    await bench.lease()
    assert await bench.frontier.eligible() == 4


async def test_redis_itself_can_be_asked(client: RedisClient, redis_url: str) -> None:
    """With the commands of the documents, by whatever speaks to Redis; it writes nothing."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(in_flight=2))
    await bench.add("a/1", "a/2", "a/3", "b/1")

    def redis(*command: str) -> str:
        line = ["redis-cli", "-s", redis_url.removeprefix("unix://"), *command]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    generation = redis("HGET", "{test:0}:crawl", "generation")
    assert f"{{test:0}}:{generation}:ctl" == keys.ctl(bench.crawl)
    library = redis("FUNCTION", "LIST", "LIBRARYNAME", "farm_*").splitlines()[1]
    asked = redis("FCALL_RO", f"{library}_eligible", "1", f"{{test:0}}:{generation}:ctl", "", "1000")
    assert asked == "3"

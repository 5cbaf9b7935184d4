"""What nodes tell each other about proxies."""

from farm.frontier.proxy_bans import SharedBans
from farm.model.egress import Ban
from tests.frontier.support import Bench


async def test_a_ban_is_heard_by_every_node_until_it_is_over(bench: Bench) -> None:
    """Then it is forgotten."""
    one, other = (SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read) for _ in range(2))
    assert (
        await one.exchange([Ban("http://a:1", None, 60.0, 1), Ban("http://b:1", "shop.example", 5.0, 2)])
        != []
    )
    assert sorted(await other.exchange([]), key=str) == [
        Ban("http://a:1", None, 60.0, 1),
        Ban("http://b:1", "shop.example", 5.0, 2),
    ]
    bench.clock.ms += 5_000
    assert await other.exchange([]) == [Ban("http://a:1", None, 55.0, 1)]
    bench.clock.ms += 55_000
    assert await other.exchange([]) == []
    assert await bench.frontier.audit() == []


async def test_bans_are_stored_as_ever(bench: Bench) -> None:
    """Nodes of the version before read them: the site after a space."""
    bans = SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read)
    await bans.exchange([Ban("http://a:1", None, 60.0, 1), Ban("http://a:1", "a.example:8080", 5.0, 2)])
    stored = await bench.raw("HKEYS", "@bans")
    assert sorted(stored) == [b"http://a:1", b"http://a:1 a.example:8080"]


async def test_the_later_end_counts_and_a_proxy_can_be_back(bench: Bench) -> None:
    """A node that heard late does not shorten what another one has said."""
    bans = SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read)
    await bans.exchange([Ban("http://a:1", None, 60.0, 2)])
    assert await bans.exchange([Ban("http://a:1", None, 10.0, 1)]) == [Ban("http://a:1", None, 60.0, 2)]
    assert await bans.exchange([Ban("http://a:1", None, 0.0, 0)]) == []

"""The adapters fit the ports of the loop: the type checker proves it, here it is written down."""

from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.runtime.ports import Frontier, LeaseRenewer
from tests.frontier.support import Bench


async def test_the_adapters_fit_the_ports(bench: Bench) -> None:
    """Structurally: nothing inherits."""
    frontier: Frontier = bench.frontier
    keeper: LeaseRenewer = RedisLeaseRenewer(bench.url, bench.crawl)
    assert isinstance(frontier, RedisFrontier)
    assert keeper.renew([]) == []

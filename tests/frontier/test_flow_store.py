"""Where the nodes put their figures."""

from farm.frontier import keys
from farm.frontier.flow_store import by_site
from farm.policy.capacity import Flow
from tests.frontier.support import Bench


async def test_what_nodes_tell_is_read_by_whoever_asks(bench: Bench) -> None:
    """Each node's last word; what cannot be read is left out."""
    store = bench.frontier.flow
    await store.publish("n1", Flow(9, 9, 9), {}, 1, "ramp")
    await store.publish("n1", Flow(3, 1, 3), {"a": Flow(3, 1, 3)}, 8, "contexts")
    await store.publish("n2", Flow(1, 3, 3), {"a": Flow(0.5, 3, 1), "b": Flow(0.5, 3, 2)}, 4, "proxies")
    await bench.client.command("HSET", keys.flow(bench.crawl), "n3", "{}")
    nodes = await store.read()
    assert {node.node: (node.limit, node.binding) for node in nodes} == {
        "n1": (8, "contexts"),
        "n2": (4, "proxies"),
    }
    assert all(node.is_fresh for node in nodes)
    assert {site: flow.per_s for site, flow in by_site(nodes).items()} == {"a": 3.5, "b": 0.5}
    assert list(by_site(nodes)) == ["a", "b"]

"""What each node has measured of its flow, stored where `farm status` and `farm plan` read it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import orjson

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.policy.capacity import Flow, together

FRESH_S = 10.0
"""A node whose report is older has ended, or cannot reach Redis."""


@dataclass(frozen=True, slots=True)
class NodeFlow:
    """One node's figures, reported `age_s` ago; `binding` names the limit that held it to `limit` contexts."""

    node: str
    age_s: float
    flow: Flow
    sites: Mapping[str, Flow] = field(default_factory=dict)
    limit: int = 0
    binding: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the node is at work."""
        return self.age_s < FRESH_S


class RedisFlowStore:
    """The reports of one crawl's nodes."""

    def __init__(self, client: RedisClient, crawl: keys.Named) -> None:
        self._client = client
        self._key = keys.flow(crawl)

    async def publish(
        self, node: str, flow: Flow, sites: Mapping[str, Flow], limit: int, binding: str
    ) -> None:
        """Store a node's figures, with the server's time."""
        told = {
            "at": await self._now_s(),
            "flow": asdict(flow),
            "sites": {site: asdict(one) for site, one in sites.items()},
            "limit": limit,
            "binding": binding,
        }
        await self._client.command("HSET", self._key, node, orjson.dumps(told))

    async def read(self) -> list[NodeFlow]:
        """Return every node's last report, the newest first; what cannot be read is left out."""
        now_s = await self._now_s()
        found = []
        for node, stored in (await self._client.command("HGETALL", self._key)).items():
            try:
                told = orjson.loads(stored)
                sites = {site: _flow(one) for site, one in told["sites"].items()}
                age_s = now_s - float(told["at"])
                flow, limit, binding = _flow(told["flow"]), int(told["limit"]), str(told["binding"])
                found.append(NodeFlow(node.decode(), age_s, flow, sites, limit, binding))
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
                continue
        return sorted(found, key=lambda one: one.age_s)

    async def _now_s(self) -> float:
        seconds, micros = await self._client.command("TIME")
        return int(seconds) + int(micros) / 1e6


def _flow(told: Mapping[str, float]) -> Flow:
    return Flow(**{name: float(figure) for name, figure in told.items()})


def by_site(nodes: list[NodeFlow]) -> dict[str, Flow]:
    """Return each site's flow over all nodes, the busiest first."""
    sites = {site for node in nodes for site in node.sites}
    flows = {site: together(node.sites[site] for node in nodes if site in node.sites) for site in sites}
    return dict(sorted(flows.items(), key=lambda item: (-item[1].per_s, item[0])))

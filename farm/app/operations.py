"""Operations on a crawl from outside a run: its numbers, its seeds, its dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from farm.app.access import add_seeds
from farm.app.limits import site_terms
from farm.frontier.crawl import Crawl
from farm.frontier.dead import DeadFilter, DeadLetter
from farm.frontier.frontier import RedisFrontier
from farm.frontier.history import PastVisit
from farm.frontier.node_status import NodeStatus, status_of_nodes
from farm.frontier.nodes import NodeFlow, by_site
from farm.model.crawl import Stats, crawl_state
from farm.model.egress import ProxyBytes
from farm.model.errors import UsageError
from farm.policy.capacity import together
from farm.scope.seeds import given_seeds
from farm.settings.stored import FOR_SEEDS, check_shared_settings, stored_tables
from farm.settings.units import parse_hash_routes
from farm.sinks.record import timestamp


@dataclass(frozen=True, slots=True)
class CrawlStatus:
    """The numbers of a crawl; `flows` are those of its live nodes: a node that has just started has none."""

    crawl: str
    stats: Stats
    eligible: int
    proxied: ProxyBytes
    nodes: Sequence[NodeStatus]
    flows: list[NodeFlow]


async def read_status(crawl: str, frontier: RedisFrontier) -> CrawlStatus:
    """Read the numbers of a crawl."""
    entries = await frontier.nodes.history()
    # A node that has ended is unregistered at once; its measurements stay for `farm plan`.
    alive = {node.name for node in entries if node.is_alive}
    flows = [flow for flow in await frontier.flow.read() if flow.is_fresh and flow.node in alive]
    is_fed = await frontier.feeders.any()
    stats = await frontier.stats()
    state = crawl_state(stats, is_fed=is_fed, is_worked=bool(alive))
    return CrawlStatus(
        crawl,
        replace(stats, state=state),
        await frontier.eligible(),
        await frontier.proxy_bytes.read(),
        status_of_nodes(entries, flows),
        flows,
    )


def plain_status(read: CrawlStatus) -> dict[str, Any]:
    """Return the numbers as JSON values."""
    now = datetime.now(UTC)
    return {
        "crawl": read.crawl,
        **asdict(read.stats),
        "eligible": read.eligible,
        "nodes": [_node(node, now) for node in read.nodes],
        "proxy_bytes": asdict(read.proxied),
        "flow": _flow(read.flows),
    }


def _node(node: NodeStatus, now: datetime) -> dict[str, Any]:
    """Return a node as a JSON object; `last_seen` is a time of the wall clock."""
    seen = (now - timedelta(seconds=node.silent_s)).isoformat(timespec="milliseconds")
    told = asdict(node)
    del told["silent_s"]
    return {**told, "last_seen": seen.replace("+00:00", "Z")}


def _flow(nodes: list[NodeFlow]) -> dict[str, Any]:
    """Return the numbers of Little's law: visits a second, seconds per visit, visits under way."""
    return {
        **asdict(together(node.flow for node in nodes)),
        "nodes": {node.node: {"contexts": node.limit, "bound_by": node.binding} for node in nodes},
        "sites": {site: asdict(flow) for site, flow in by_site(nodes).items()},
    }


def plain_letter(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as a JSON object."""
    return {**asdict(letter), "at": letter.at and timestamp(letter.at)}


def plain_visit(past: PastVisit) -> dict[str, Any]:
    """Return a failed visit as a JSON object."""
    return {"at": past.at and timestamp(past.at), **asdict(past.visit)}


class FrontierOperations:
    """The operations of the API on a crawl. Implements the port `CrawlOperations` of the monitor."""

    def __init__(self, crawl: Crawl, frontier: RedisFrontier) -> None:
        self._crawl = crawl
        self._frontier = frontier

    async def status(self) -> Mapping[str, Any]:
        """Return its numbers."""
        return plain_status(await read_status(self._crawl.name, self._frontier))

    async def add(self, urls: Sequence[str | Mapping[str, Any]]) -> Mapping[str, int]:
        """Add seeds; raises UsageError for an invalid URL."""
        agreed, frontier = self._crawl.settings, self._frontier
        check_shared_settings(self._crawl, frontier.place, *FOR_SEEDS)
        seeds, said = given_seeds(
            urls,
            None,
            hash_routes=parse_hash_routes(agreed["hash_routes"]),
            keep_params=agreed.get("keep_params", ()),
        )
        if not seeds:
            raise UsageError(" ".join(said) or "There is no URL to add.")
        await frontier.paces.limit_sites(site_terms(stored_tables(agreed, frontier.place)))
        _, added = await add_seeds(self._crawl, frontier, seeds)
        return {"added": added, "known": len(seeds) - added}

    async def letters(self, which: Mapping[str, str], start: int, size: int) -> Mapping[str, Any]:
        """Return some dead letters, and how many there are."""
        found, total = await self._frontier.dead.counted_page(_filter(which), start=start, size=size)
        return {"letters": [plain_letter(letter) for letter in found], "total": total}

    async def letter(self, fingerprint: str) -> Mapping[str, Any] | None:
        """Return one letter, with the visits that failed; None if there is none."""
        dead = self._frontier.dead
        try:
            letter, history = await dead.show(fingerprint), await dead.history(fingerprint)
        except UsageError:
            return None
        return {**plain_letter(letter), "history": [plain_visit(past) for past in history]}

    async def replay(
        self, which: Mapping[str, str], ids: Sequence[str], within_s: float
    ) -> Mapping[str, Any]:
        """Take letters back into their queues; return how many, and whether those were all in time."""
        dead = self._frontier.dead
        if ids:
            return {"replayed": await dead.replay_ids(ids), "all": True}
        replayed, are_all = await dead.replay_within(_filter(which), within_s)
        return {"replayed": replayed, "all": are_all}

    async def set_state(self, state: str) -> None:
        """Set the crawl's state on all nodes."""
        await self._frontier.set_state(state)


def _filter(which: Mapping[str, str]) -> DeadFilter:
    """Return the filter that selects the letters.

    Callers may not give a regular expression, since some would block the crawl: `contains` is a plain text.
    """
    return DeadFilter(which.get("reason"), which.get("site"), text=which.get("contains"))

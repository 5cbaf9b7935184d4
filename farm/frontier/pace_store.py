"""What the nodes have learnt about each site's pace: one state per site, which all of them add to.

A node reads a state, computes the next one, and writes it unless another node wrote meanwhile; then it computes
anew from what was written.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.shards import BATCH, Shards
from farm.frontier.terms import SiteTerms
from farm.policy.aimd import Pace, PaceSnapshot


class RedisPaceStore:
    """Reads and writes the paces of one crawl."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Return the state of a site, or of one egress address at the site."""
        return _learnt(await self._tune(site, b"", b"", 0, 0, egress))[1]

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write the next state. Returns None, or the state that another node wrote since `before` was read."""
        stored = orjson.dumps(asdict(pace))
        # The frontier spaces visits by up to a fifth more than this interval, so the mean is the learnt rate.
        interval_ms = round(1000 / (pace.rate * 1.1)) if pace.rate else 0
        limit = int(pace.limit)
        reply = await self._tune(site, before.stored, stored, limit, interval_ms, egress)
        written, now = _learnt(reply)
        return None if written else now

    async def keep_apart(self, site: str, interval_s: float) -> None:
        """Store a site's crawl-delay; no learnt interval becomes shorter."""
        await self._shards.run(self._shards.of(site), "space", site, round(interval_s * 1000))

    async def limit_sites(self, terms: Mapping[str, SiteTerms]) -> None:
        """Store limits of single sites, by their names or `*.` and a domain above them.

        They hold for sites that come into being afterwards: every node stores them before it adds a URL.
        """
        told = [(name, one.stored()) for name, one in terms.items()]
        for shard in range(self._shards.count):
            key = keys.limits(self._shards.crawl, shard)
            for start in range(0, len(told), BATCH):
                part = [text for pair in told[start : start + BATCH] for text in pair]
                await self._shards.client.command("HSET", key, *part)

    async def _tune(
        self, site: str, before: bytes, after: bytes, limit: int, interval_ms: int, egress: str
    ) -> Any:
        shard = self._shards.of(site)
        return await self._shards.run(shard, "tune", site, before, after, limit, interval_ms, egress)


def _learnt(reply: Any) -> tuple[bool, PaceSnapshot]:
    written, stored, now_ms, in_flight, blocked_ms, first = reply
    learnt = PaceSnapshot(
        stored, _pace(stored), int(now_ms) / 1000, int(in_flight), int(blocked_ms) / 1000, int(first)
    )
    return bool(written), learnt


def _pace(stored: bytes) -> Pace | None:
    """Return a stored state; None for one that another version of the farm wrote, which is learnt anew."""
    if not stored:
        return None
    try:
        fields = orjson.loads(stored)
        fields["latencies"] = tuple(fields["latencies"])
        fields["delivered"] = tuple((second, count) for second, count in fields["delivered"])
        return Pace(**fields)
    except (ValueError, TypeError, KeyError):
        return None

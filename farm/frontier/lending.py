"""Lends unused shares of a crawl's common limits to shards that can use them.

There is one lender at a time, whichever node comes first: it reads the use of each shard, lowers the shares of
those that use less than they have, and then raises the others by the difference. If a lender dies in between, the
sum stays below the limit, never above it; a later lender corrects that, and late calls of an earlier one are
refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from farm.frontier.shards import Shards, decode_counters
from farm.policy.lending import Share, is_significant, lend, raised

EVERY_S = 2.0
LEAST_PART = 64
"""A shard keeps at least this part of an equal share of a rate."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One shard: its rate per second (0: no limit), its concurrency, and its recent use of both."""

    rate: Share
    places: Share


class Lending:
    """Lends the rate and the places in flight that belong to all shards of one crawl."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._limits: tuple[float, int] | None = None

    async def lend(self) -> bool:
        """Lend, unless another node has just done so; return whether a share was changed."""
        if self._shards.count == 1 or (limits := await self._all()) == (0.0, 0):
            return False
        begun = await self._shards.attempt(
            0, "lend", "begin", round(EVERY_S * 1000), f"{limits[0]:.17g}", limits[1], in_doubt=True
        )
        if not begun:
            return False
        lender, interval_ms, places = int(begun[0]), float(begun[1]), int(begun[2])
        seen = await self._seen(lender)
        if seen is None:
            return False
        rates = _lent(1000 / interval_ms if interval_ms else 0.0, [one.rate for one in seen], whole=False)
        spots = _lent(places, [one.places for one in seen], whole=True)
        if rates is None and spots is None:
            return False
        return await self._moved(
            lender,
            seen,
            (1000 / interval_ms if interval_ms else 0.0, places),
            rates or [one.rate.allowed for one in seen],
            spots or [one.places.allowed for one in seen],
        )

    async def _all(self) -> tuple[float, int]:
        """Return the initial limits: interval in ms and concurrency of all shards, 0 for no limit.

        They are read before the first lending; later the first shard knows them. No limit while a shard is
        unavailable.
        """
        if self._limits is None:
            interval_rate, places = 0.0, 0
            for shard in range(self._shards.count):
                found = await self._shards.attempt(shard, "stats", in_doubt=True)
                if not found:
                    return 0.0, 0
                counters = decode_counters(found[0])
                interval_rate += 1 / counters["all_interval"] if counters["all_interval"] else 0.0
                places += counters["all_limit"]
            self._limits = (1 / interval_rate if interval_rate else 0.0, places)
        return self._limits

    async def _seen(self, lender: int) -> list[_Seen] | None:
        """Look at each shard; None if one is away, has not been looked at before, or another lends."""
        found = []
        for shard in range(self._shards.count):
            looked = await self._shards.attempt(shard, "lend", "look", lender, in_doubt=True)
            if not looked:
                return None
            interval_ms, places, leases, since_ms, under_way = float(looked[0]), *map(int, looked[1:])
            per_s = leases * 1000 / since_ms if since_ms > 0 else -1.0
            one = 1000 / since_ms if since_ms > 0 else 0.0
            rate = Share(1000 / interval_ms if interval_ms else 0.0, per_s, one)
            found.append(_Seen(rate, Share(places, under_way)))
        return found if all(one.rate.used >= 0 for one in found) else None

    async def _moved(
        self,
        lender: int,
        seen: Sequence[_Seen],
        totals: tuple[float, float],
        rates: Sequence[float],
        spots: Sequence[float],
    ) -> bool:
        """Lower shares first, then raise others by the difference; return whether all of it was done."""
        kept_rates = [min(part, one.rate.allowed) for part, one in zip(rates, seen, strict=True)]
        kept_spots = [min(part, one.places.allowed) for part, one in zip(spots, seen, strict=True)]
        for shard, (rate, places) in enumerate(zip(kept_rates, kept_spots, strict=True)):
            done = await self._set(shard, lender, rate, places)
            if done is None:
                return False
            kept_spots[shard] = done
        for shard, (rate, places) in enumerate(
            zip(raised(totals[0], kept_rates, rates), raised(totals[1], kept_spots, spots), strict=True)
        ):
            if await self._set(shard, lender, rate, places) is None:
                return False
        return True

    async def _set(self, shard: int, lender: int, rate: float, places: float) -> int | None:
        """Set a shard's shares; return how many places it has now, None if it is away or another lends."""
        interval_ms = 1000 / rate if rate else 0.0
        done: Any = await self._shards.attempt(
            shard, "lend", "set", lender, f"{interval_ms:.17g}", math.floor(places + 1e-9), in_doubt=True
        )
        return int(done[1]) if done else None


def _lent(total: float, shares: Sequence[Share], *, whole: bool) -> list[float] | None:
    """Return the shares from now on, None if nothing is worth a change; `whole` ones are numbers of places."""
    if not total:
        return None
    least = 1.0 if whole else total / len(shares) / LEAST_PART
    if total < least * len(shares):
        return None
    asked = lend(total, shares, least)
    if whole:
        asked = _whole(int(total), asked)
    return list(asked) if is_significant(shares, asked) else None


def _whole(total: int, asked: Sequence[float]) -> tuple[float, ...]:
    """Return whole numbers of at least one, as near as can be, together no more than the total."""
    parts = [max(1, math.floor(part + 1e-9)) for part in asked]
    by_rest = sorted(range(len(asked)), key=lambda place: asked[place] - parts[place], reverse=True)
    for place in by_rest[: max(0, total - sum(parts))]:
        if asked[place] > parts[place]:
            parts[place] += 1
    return tuple(map(float, parts))

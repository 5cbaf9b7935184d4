"""The shards of one crawl: the shard of a site, calls of transitions, and the sums of counters.

All state of one site is in one shard, so that every decision about it is one script. A standalone server has one
shard; on a Cluster their number is fixed when the crawl is created. A script sees its own shard only, so links
from one to another are delivered (`outbox`). A shard's counters are one string of numbers, in the order that
`lua/lib/layout.lua` declares.
"""

import asyncio
import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any
from zlib import crc32

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.faults import crawl_deleted, unreadable
from farm.frontier.terms import Terms
from farm.model.crawl import Ledger, Stats
from farm.model.errors import CrawlUnreadable
from farm.model.page import Renderer
from farm.model.tiers import TierCounts

BANDS = 10
STATES = ("running", "paused", "draining", "stopped")
BATCH = 500
"""How many links or ids one call takes; more would delay all other clients."""

_TEXT = (files("farm.frontier") / "lua" / "lib" / "layout.lua").read_text()


def _declared(text: str) -> dict[str, int]:
    declared: dict[str, int] = {}
    for names, numbers in re.findall(r"^local ([A-Z_, ]+) = ([0-9, ]+)$", text, re.MULTILINE):
        pairs = zip(names.split(", "), numbers.split(", "), strict=True)
        declared.update({name.lower(): int(number) for name, number in pairs})
    return declared


def _kinds_of(layout: str) -> str:
    kinds: list[str] = re.findall(rf"^local {layout}_LAYOUT, .* = '<([diI]+)'", _TEXT, re.MULTILINE)
    return kinds[0]


# Names that stand behind this line are the tallies, in Lua a table of their own.
_COMMON, _TALLIES = _TEXT.split("local COMMON_LAYOUT")
_KINDS = _kinds_of("COMMON") + _kinds_of("TALLY")
_PLACES = _declared(_COMMON)
_PLACES |= {name: len(_kinds_of("COMMON")) + place for name, place in _declared(_TALLIES).items()}
_FIRST_BAND = _PLACES.pop("q")
PLACES: Mapping[str, int] = {**_PLACES, **{f"q{band}": _FIRST_BAND + band for band in range(BANDS)}}
"""Counter -> its place, from 1 as in Lua."""
_LAYOUT = struct.Struct(f"<{_KINDS}")


def shard_of(site: str, shards: int) -> int:
    """Return the shard of a site; the same on every node, for as long as the crawl lives."""
    return crc32(site.encode()) % shards


class Shards:
    """The shards of one crawl. `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: keys.Sharded, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self.client = client
        self.crawl = crawl
        self.count = crawl.shards
        self._own_time_ms = own_time_ms
        self._ctls = [keys.ctl(crawl, shard) for shard in range(crawl.shards)]
        self._terms: Terms | None = None

    def of(self, site: str) -> int:
        """Return the shard of a site."""
        return shard_of(site, self.count) if self.count > 1 else 0

    async def run(self, shard: int, name: str, *args: Arg) -> Any:
        """Run a transition on one shard."""
        return await self.client.run(name, self._ctls[shard], self._own(), *args)

    async def attempt(self, shard: int, name: str, *args: Arg, in_doubt: bool) -> Any | None:
        """Run a transition on one shard; None if its server is away, as `RedisClient.attempt` has it.

        A single shard is waited for.
        """
        if self.count == 1:
            return await self.run(shard, name, *args)
        return await self.client.attempt(name, self._ctls[shard], self._own(), *args, in_doubt=in_doubt)

    async def run_replicated(self, shard: int, name: str, *args: Arg, within_ms: int) -> tuple[Any, bool]:
        """Run a transition; return its reply, and whether it will outlive its shard's master."""
        return await self.client.run_replicated(
            name, self._ctls[shard], self._own(), *args, within_ms=within_ms
        )

    async def each(self, name: str, *args: Arg) -> list[Any]:
        """Run a transition on every shard; the replies come in their order."""
        if self.count == 1:
            return [await self.run(0, name, *args)]
        return await asyncio.gather(*(self.run(shard, name, *args) for shard in range(self.count)))

    def home(self, request_id: str, hint: str | None) -> int:
        """Return the shard that a request is for: its site's, or any; the same whenever it is repeated."""
        return self.of(hint) if hint else crc32(request_id.encode()) % self.count

    def order(self, first: int) -> list[int]:
        """Return all shards in their order, beginning with one."""
        return [(first + step) % self.count for step in range(self.count)]

    async def stats(self) -> Stats:
        """Return the crawl's numbers, summed over all shards.

        Raises CrawlGone if the crawl was deleted, CrawlUnreadable if its counters cannot be read.
        """
        replies = await self._replies()
        try:
            return stats_of(replies)
        except ValueError:
            raise self._garbled() from None

    async def counters(self) -> list[dict[str, int]]:
        """Return each shard's counters by name, in the shards' order; raises as `stats` does."""
        replies = await self._replies()
        try:
            return [decode_counters(stored) for stored, *_ in replies]
        except (OverflowError, ValueError):
            raise self._garbled() from None

    async def terms(self) -> Terms:
        """Return the terms that the crawl was created with; read once, since nothing changes them.

        Raises as `stats` does.
        """
        if self._terms is None:
            self._terms = Terms.of((await self.counters())[0])
        return self._terms

    async def _replies(self) -> list[Any]:
        replies = await self.each("stats")
        if not all(replies):
            raise crawl_deleted(self.client.place)
        return replies

    def _garbled(self) -> CrawlUnreadable:
        return unreadable(self.client.place, "its counters are none")

    def _own(self) -> Arg:
        return "" if self._own_time_ms is None else self._own_time_ms()


def counters_in_order(counters: Mapping[str, float]) -> list[str]:
    """Return the given counters as `open` takes them: all in order, 0 where nothing is given."""
    values = [0.0] * len(_KINDS)
    for name, value in counters.items():
        values[PLACES[name] - 1] = value
    return [f"{value:.0f}" for value in values]


def decode_counters(stored: bytes) -> dict[str, int]:
    """Return the counters by name; raises ValueError if they are none."""
    try:
        values = _LAYOUT.unpack(stored)
    except struct.error as error:
        raise ValueError(str(error)) from None
    return {name: int(values[place - 1]) for name, place in PLACES.items()}


def encode_counters(counters: Mapping[str, float]) -> bytes:
    """Return the counters as they are stored."""
    kinds = (float if kind == "d" else int for kind in _KINDS)
    return _LAYOUT.pack(
        *(kind(value) for kind, value in zip(kinds, counters_in_order(counters), strict=True))
    )


def stats_of(replies: Sequence[tuple[bytes, Sequence[bytes], Sequence[bytes]]]) -> Stats:
    """Sum what each shard answers to `stats`; the first one's state is the crawl's.

    Raises ValueError if something else stands there.
    """
    shards, dead_by_reason, tiers = [], dict[str, int](), Counter[str]()
    try:
        for stored, tally, sums in replies:
            shards.append(decode_counters(stored))
            for name, count in zip(sums[::2], sums[1::2], strict=True):
                tiers[name.decode()] += int(count)
            for reason, count in zip(tally[::2], tally[1::2], strict=True):
                dead_by_reason[reason.decode()] = dead_by_reason.get(reason.decode(), 0) + int(count)
        state = STATES[shards[0]["state"]]
    except (IndexError, OverflowError) as error:
        raise ValueError(str(error)) from None

    def total(name: str) -> int:
        return sum(counters[name] for counters in shards)

    return Stats(
        ledger=Ledger(
            accepted=total("accepted"),
            queued=total("suspects") + sum(total(f"q{band}") for band in range(BANDS)),
            delayed=total("delayed"),
            leased=total("leased"),
            done=total("done"),
            dead=total("dead"),
        ),
        dead_by_reason={reason: count for reason, count in dead_by_reason.items() if count},
        rendered=total("rendered"),
        duplicates=total("duplicates"),
        expired=total("expired"),
        retried=total("retried"),
        sites=total("sites"),
        left_out=total("left_out"),
        is_full=any(counters["full"] for counters in shards),
        tiers=_tier_counts(tiers),
        state=state,
    )


def _tier_counts(sums: Mapping[str, int]) -> TierCounts:
    def by(kind: str) -> dict[str, int]:
        return {
            name.removeprefix(kind): count for name, count in sums.items() if name.startswith(kind) and count
        }

    return TierCounts(
        pages={Renderer(name): count for name, count in by("pages:").items()},
        pages_by_share={int(name): count for name, count in by("share:").items()},
        **{name: sums.get(name, 0) for name in ("audits", "differed", "compared", "requeued", "templates")},
    )

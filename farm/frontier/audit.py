"""The audit: whether the crawl in Redis keeps its invariants, checked in slices of some milliseconds.

What concerns one site, one lease or one entry is checked where it stands, at one moment. What has to be added up
over slices (the ledger, what sites count in flight) is compared where nothing moved from the first slice to the
last; on a crawl that is worked on, only what one moment shows is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from farm.frontier import keys
from farm.frontier.counters import decode
from farm.frontier.faults import crawl_deleted, unreadable
from farm.frontier.shards import Shards
from farm.frontier.sums import Sums, ledger_of

BUDGET = 2000
"""What one call looks at: ten to thirty milliseconds of the server's time."""
PIECES = 300
"""How many pieces one call is offered."""
_KINDS = frozenset(("slot", "due", "delayed", "dead", "tally"))
_KINDS_BY_NAME = frozenset(("q", "site", "ready", "out", "outbox", "seen"))
_UNMOVED = frozenset(("real", "now", "turn", "due_from", "delayed_from", "tat"))
"""Counters that change though no URL moves."""

Piece = tuple[str, bytes, bytes]
"""Kind, name behind the prefix, cursor."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit came to: `violations` are sentences; `whole` says whether everything could be compared."""

    violations: Sequence[str]
    whole: bool


async def audit(shards: Shards, most: int) -> Audit:
    """Audit every shard and return at most `most` violations of each.

    Raises CrawlGone where there is no crawl, CrawlUnreadable where no farm wrote what stands there.
    """
    violations: list[str] = []
    whole = True
    for shard in range(shards.count):
        auditor = _Auditor(shards, shard)
        violations += (await auditor.run())[:most]
        whole = whole and auditor.stood_still
    return Audit(violations, whole)


class _Auditor:
    """Audits one shard."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self._shards = shards
        self._shard = shard
        self._sums = Sums()
        self.stood_still = True

    async def run(self) -> list[str]:
        """Look at everything once and return what does not hold."""
        stored = await self._shards.run(self._shard, "stats")
        if not stored:
            raise crawl_deleted(self._shards.client.place)
        before = after = self._counters(stored[0])
        pieces, told = await self._pieces(), dict[str, None]()
        while pieces:
            after, pieces = await self._slices(pieces, told)
        self.stood_still = all(before[name] == after[name] for name in before.keys() - _UNMOVED)
        for id_, one, other in self._sums.doubles:
            if self.stood_still or await self._is_in_both(id_, one, other):
                told[f"id {id_.decode()} is in {one} and in {other}"] = None
        told |= dict.fromkeys(self._sums.compared(after) if self.stood_still else ledger_of(after))
        return list(told)

    def _counters(self, stored: bytes) -> dict[str, int]:
        try:
            return decode(stored)
        except (OverflowError, ValueError):
            raise unreadable(self._shards.client.place, "its counters are none") from None

    async def _pieces(self) -> list[Piece]:
        """Return what there is to look at."""
        prefix = keys.prefix(self._shards.crawl, self._shard)
        pieces: list[Piece] = [("ctl", b"ctl", b"0"), ("alone", b"alone", b"0")]
        for key in set(await self._shards.client.keys(f"{prefix}*")):
            name = key.removeprefix(prefix.encode())
            kind, colon, _ = name.partition(b":")
            kind_name = kind.decode(errors="replace")
            if name.startswith(b"dead:"):
                self._sums.lists.add(name.decode(errors="replace"))
            elif kind_name in (_KINDS_BY_NAME if colon else _KINDS):
                pieces.append((kind_name, name, b"0"))
        return sorted(pieces)

    async def _slices(self, pieces: list[Piece], told: dict[str, None]) -> tuple[dict[str, int], list[Piece]]:
        """Have some pieces looked at; return the counters, and what is left to look at."""
        offered = pieces[:PIECES]
        arguments = [part for piece in offered for part in piece]
        stored, *results = await self._shards.run(self._shard, "audit", BUDGET, *arguments)
        left: list[Piece] = []
        for (kind, name, _), (cursor, violations, found) in zip(offered, results, strict=False):
            told |= dict.fromkeys(sentence.decode(errors="replace") for sentence in violations)
            self._sums.take(kind, name, found)
            if cursor != b"0":
                left.append((kind, name, cursor))
        return self._counters(stored), left + pieces[len(results) :]

    async def _is_in_both(self, id_: bytes, one: str, other: str) -> bool:
        """Look again at what two slices found at two moments."""
        if one == other:
            return False
        where = f"{one}\n{other}".encode(errors="replace")
        _, (_, _, (is_so,)) = await self._shards.run(self._shard, "audit", BUDGET, "both", id_, where)
        return bool(is_so)

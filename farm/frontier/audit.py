"""The audit: whether the crawl in Redis keeps its invariants, checked in slices of a few milliseconds.

Invariants of one site, one lease or one entry are checked within one slice. Sums over slices (the ledger, the
visits in flight of sites) are compared only if nothing changed between the first slice and the last; on an active
crawl, only violations within one slice are reported.

A crawl may have more URLs and sites than fit into memory. What grows with them (the names of keys, the ids and
where they are) is sorted in temporary files; in memory are the leases and the sites that have visits in flight.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby, islice

from farm.frontier import keys
from farm.frontier.audit_sums import AuditSums, shown
from farm.frontier.external_sort import ExternalSort
from farm.frontier.faults import crawl_deleted, unreadable
from farm.frontier.outbox import lost_links
from farm.frontier.shards import BANDS, Shards, decode_counters

BUDGET = 500
"""How much one call examines: about a millisecond of the server's time."""
PIECES = 100
"""How many pieces one call is offered."""
MOST_LOOKED_AT = 1000
"""How many ids that were seen in two places are looked at again: on an active crawl some have just moved."""
_KINDS = frozenset(("slot", "due", "delayed", "dead", "tally", "tiers"))
_KINDS_BY_NAME = frozenset(("q", "site", "ready", "out", "outbox", "seen", "taken"))
_UNMOVED = frozenset(("real", "now", "turn", "due_from", "delayed_from", "tat"))
"""Counters that change though no URL moves."""

Piece = tuple[str, bytes, bytes]
"""Kind, name behind the prefix, cursor."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The results of an audit: `violations` are sentences; `whole` says whether everything could be compared."""

    violations: Sequence[str]
    whole: bool


async def audit(shards: Shards, most: int) -> Audit:
    """Audit every shard and return at most `most` violations of each, and a sentence where there are more.

    Raises CrawlGone if there is no crawl, CrawlUnreadable if its data were not written by a farm, OutputUnwritable
    if the folder for temporary files is full.
    """
    violations: list[str] = []
    whole = True
    for shard in range(shards.count):
        with ExitStack() as files:
            auditor = _Auditor(shards, shard, most, files)
            violations += await auditor.run()
        whole = whole and auditor.stood_still
    if shards.count > 1:
        violations += await lost_links(shards)
    return Audit(violations, whole)


class _Auditor:
    """Audits one shard; its temporary files are closed with `files`."""

    def __init__(self, shards: Shards, shard: int, most: int, files: ExitStack) -> None:
        self._shards = shards
        self._shard = shard
        self._most = most
        self._names = files.enter_context(ExternalSort())
        self._sums = AuditSums(files.enter_context(ExternalSort()), files.enter_context(ExternalSort()))
        self._told: dict[str, None] = {}
        self.stood_still = True

    async def run(self) -> list[str]:
        """Examine everything once and return the violations."""
        stored = await self._shards.run(self._shard, "stats")
        if not stored:
            raise crawl_deleted(self._shards.client.place)
        before = after = self._counters(stored[0])
        await self._find_keys()
        pieces = self._pieces()
        waiting = list(islice(pieces, PIECES))
        while waiting:
            after, waiting = await self._slices(waiting)
            waiting += islice(pieces, PIECES - len(waiting))
        self.stood_still = all(before[name] == after[name] for name in before.keys() - _UNMOVED)
        async for id_, one, other in self._doubles():
            self._tell([f"id {shown(id_)} is in {shown(one)} and in {shown(other)}"])
        sums = self._sums.compared(after) if self.stood_still else _unbalanced(after)
        # What is wrong with all of it comes before what is wrong with a part.
        told = list(dict.fromkeys(chain(islice(sums, self._most + 1), self._told)))
        if len(told) <= self._most:
            return told
        return [*told[: self._most], f"shard {self._shard} has more violations than these"]

    def _tell(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            if len(self._told) > self._most:
                return
            self._told[sentence] = None

    def _counters(self, stored: bytes) -> dict[str, int]:
        try:
            return decode_counters(stored)
        except (OverflowError, ValueError):
            raise unreadable(self._shards.client.place, "its counters are none") from None

    async def _find_keys(self) -> None:
        """Sort the names of the shard's keys; a scan may give one twice."""
        prefix = keys.prefix(self._shards.crawl, self._shard)
        async for key in self._shards.client.scan(f"{prefix}*"):
            name = key.removeprefix(prefix.encode())
            if name.startswith(b"dead:"):
                self._sums.lists.add(name.decode(errors="replace"))
            self._names.add([name.hex().encode()])

    def _pieces(self) -> Iterator[Piece]:
        """Return the pieces to examine."""
        yield from (("ctl", b"ctl", b"0"), ("alone", b"alone", b"0"))
        for line, _ in groupby(self._names):
            name = bytes.fromhex(line.decode())
            kind, colon, _ = name.partition(b":")
            kind_name = kind.decode(errors="replace")
            if kind_name in (_KINDS_BY_NAME if colon else _KINDS):
                yield kind_name, name, b"0"

    async def _slices(self, offered: Sequence[Piece]) -> tuple[dict[str, int], list[Piece]]:
        """Examine some pieces; return the counters, and the pieces that are left."""
        arguments = [part for piece in offered for part in piece]
        stored, *results = await self._shards.run(self._shard, "audit", BUDGET, *arguments)
        left: list[Piece] = []
        found = []
        for (kind, name, _), (cursor, violations, told) in zip(offered, results, strict=False):
            found.append((kind, name, told))
            self._tell(sentence.decode(errors="replace") for sentence in violations)
            if cursor != b"0":
                left.append((kind, name, cursor))
        # It may write to a disk.
        await asyncio.to_thread(self._sums.take, found)
        return self._counters(stored), left + list(offered[len(results) :])

    async def _doubles(self) -> AsyncIterator[tuple[bytes, bytes, bytes]]:
        """Yield each id that is in two places, and these."""
        ids, left = iter(self._sums.by_id()), MOST_LOOKED_AT
        while (found := await asyncio.to_thread(self._sums.compare_ids, ids)) is not None:
            for double in found:
                if self.stood_still:
                    yield double
                elif left > 0:
                    left -= 1
                    if await self._is_in_both(*double):
                        yield double

    async def _is_in_both(self, id_: bytes, one: bytes, other: bytes) -> bool:
        """Examine again what two slices found at different times."""
        if one == other:
            return False
        where = one + b"\n" + other
        _, (_, _, (is_so,)) = await self._shards.run(self._shard, "audit", BUDGET, "both", id_, where)
        return bool(is_so)


def _unbalanced(counted: Mapping[str, int]) -> Iterator[str]:
    """Return where the counters do not balance at any moment, whether the crawl changes or not."""
    queued = counted["suspects"] + sum(counted[f"q{band}"] for band in range(BANDS))
    elsewhere = sum(counted[name] for name in ("delayed", "leased", "done", "dead"))
    if counted["accepted"] != queued + elsewhere:
        yield f"the ledger does not balance: accepted {counted['accepted']} counted {queued + elsewhere}"

"""The audit: whether the crawl in Redis keeps its invariants, checked in slices of a few milliseconds.

Invariants of one site, one lease or one entry are checked within one slice. Sums over slices (the ledger, the
visits in flight of sites) are compared only if nothing changed between the first slice and the last; on an active
crawl, only violations within one slice are reported.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farm.frontier import keys
from farm.frontier.faults import crawl_deleted, unreadable
from farm.frontier.outbox import lost_links
from farm.frontier.shards import BANDS, Shards, decode_counters

BUDGET = 2000
"""How much one call examines: ten to thirty milliseconds of the server's time."""
PIECES = 300
"""How many pieces one call is offered."""
_ID = 16
SUSPECTS = "s"
"""The band of suspects."""
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
    """Audit every shard and return at most `most` violations of each.

    Raises CrawlGone if there is no crawl, CrawlUnreadable if its data were not written by a farm.
    """
    violations: list[str] = []
    whole = True
    for shard in range(shards.count):
        auditor = _Auditor(shards, shard)
        violations += (await auditor.run())[:most]
        whole = whole and auditor.stood_still
    if shards.count > 1:
        violations += await lost_links(shards)
    return Audit(violations, whole)


class _Auditor:
    """Audits one shard."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self._shards = shards
        self._shard = shard
        self._sums = _Sums()
        self.stood_still = True

    async def run(self) -> list[str]:
        """Examine everything once and return the violations."""
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
        told |= dict.fromkeys(self._sums.compared(after) if self.stood_still else _unbalanced(after))
        return list(told)

    def _counters(self, stored: bytes) -> dict[str, int]:
        try:
            return decode_counters(stored)
        except (OverflowError, ValueError):
            raise unreadable(self._shards.client.place, "its counters are none") from None

    async def _pieces(self) -> list[Piece]:
        """Return the pieces to examine."""
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
        """Examine some pieces; return the counters, and the pieces that are left."""
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
        """Examine again what two slices found at different times."""
        if one == other:
            return False
        where = f"{one}\n{other}".encode(errors="replace")
        _, (_, _, (is_so,)) = await self._shards.run(self._shard, "audit", BUDGET, "both", id_, where)
        return bool(is_so)


class _Sums:
    """The sums over the slices of one shard, and their comparison with the crawl's counters."""

    def __init__(self) -> None:
        self.doubles: dict[tuple[bytes, str, str], None] = {}
        """Ids that were seen in two places, and where."""
        self.lists: set[str] = set()
        """The keys that list dead letters."""
        self._places: dict[bytes, str] = {}
        self._queued: Counter[str] = Counter()
        self._queued_sites: set[bytes] = set()
        self._leases: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._delayed: set[bytes] = set()
        self._unreadable = 0
        self._dead: dict[bytes, str] = {}
        self._tally: dict[str, tuple[int, int]] = {}
        self._sites: dict[bytes, tuple[int, int, dict[bytes, int]]] = {}
        self._out: dict[bytes, int] = {}
        self._outgoing = self._known = 0
        self._taken = self._pending = 0
        self._take: dict[str, Callable[[bytes, Sequence[Any]], None]] = {
            "q": self._take_queue,
            "slot": self._take_leases,
            "delayed": self._take_delayed,
            "dead": self._take_dead,
            "tally": self._take_tally,
            "site": self._take_site,
            "out": self._take_address,
            "outbox": self._take_outbox,
            "seen": self._take_known,
            "taken": self._take_taken,
            "tiers": self._take_pending,
        }

    def take(self, kind: str, name: bytes, found: Sequence[Any]) -> None:
        """Add what a slice found of a piece."""
        if kind in self._take:
            self._take[kind](name, found)

    def compared(self, counted: Mapping[str, int]) -> Iterator[str]:
        """Return where the sums differ from the counters; only for a crawl that did not change meanwhile."""
        for band in range(BANDS):
            has, ought = self._queued[str(band)], counted[f"q{band}"]
            if has != ought:
                yield f"band {band} has {has} queued, counted {ought}"
        leases, delayed = list(self._leases.values()), len(self._delayed) + self._unreadable
        for has, what, name in (
            (self._queued[SUSPECTS], "suspects are queued", "suspects"),
            (len(leases), "are leased", "leased"),
            (sum(suspect for *_, suspect in leases), "suspects are leased", "alone"),
            (delayed, "are delayed", "delayed"),
            (self._outgoing, "wait for other shards", "outbox"),
            (len(self._dead), "are dead", "dead"),
            (sum(is_site for is_site, *_ in self._sites.values()), "sites are there", "sites"),
        ):
            if has != counted[name]:
                yield f"{has} {what}, counted {counted[name]}"
        queued = sum(self._queued.values())
        if counted["accepted"] != queued + delayed + len(leases) + counted["done"] + len(self._dead):
            yield (
                f"the ledger does not balance: accepted {counted['accepted']} queued {queued} "
                f"delayed {delayed} leased {len(leases)} done {counted['done']} dead {len(self._dead)}"
            )
        ought = counted["accepted"] + counted["seen"] + counted["dropped"]
        if counted["dedup"] == 0 and self._known != ought:
            yield f"{self._known} fingerprints are known, accepted, seen and dropped are {ought}"
        if self._taken != self._pending:
            yield f"{self._taken} pages of cheap renderers wait for an audit, counted {self._pending}"
        if self._taken > counted["done"]:
            yield f"{self._taken} pages of cheap renderers wait for an audit, done {counted['done']}"
        yield from self._letters()
        yield from self._in_flight()

    def _letters(self) -> Iterator[str]:
        by_reason = Counter(self._dead.values())
        for reason, (count, listed) in self._tally.items():
            if count != by_reason[reason]:
                yield f"{count} are counted dead of {reason} but {by_reason[reason]} are"
            if count != listed:
                yield f"{count} are counted dead of {reason} but {listed} are listed"
        for name in sorted(self.lists):
            if not by_reason[name.removeprefix("dead:")]:
                yield f"letters are listed under {name} and none is there"

    def _in_flight(self) -> Iterator[str]:
        flying = Counter(site for site, _, _ in self._leases.values())
        pairs = Counter((site, out) for site, out, _ in self._leases.values() if out)
        out_flying = Counter(out for _, out, _ in self._leases.values() if out)
        for site, (_, count, by_address) in self._sites.items():
            if count != flying[site]:
                yield f"site {_shown(site)} counts {count} in flight, it has {flying[site]}"
            for out, number in by_address.items():
                if number != pairs[site, out]:
                    yield (
                        f"site {_shown(site)} counts {number} in flight by {_shown(out)} "
                        f"has {pairs[site, out]}"
                    )
        for site in self._queued_sites - self._sites.keys():
            yield f"site {_shown(site)} has a queue and no record"
        for site in flying.keys() - self._sites.keys():
            yield f"site {_shown(site)} has a lease and no record"
        for out, count in self._out.items():
            if count != out_flying[out]:
                yield f"out:{_shown(out)} counts {count} in flight, it has {out_flying[out]}"

    def _put(self, id_: bytes, place: str, *, is_given_once: bool = False) -> None:
        """Note where an id is. A place that is scanned may give it twice."""
        before = self._places.get(id_)
        if id_ and before is None:
            self._places[id_] = place
        elif before is not None and (is_given_once or before != place):
            self.doubles[id_, before, place] = None

    def _take_queue(self, name: bytes, found: Sequence[Any]) -> None:
        count, ids = found
        _, band, site = name.split(b":", 2)
        self._queued[band.decode(errors="replace")] += count
        self._queued_sites.add(site)
        place = _shown(name)
        for start in range(0, len(ids), _ID):
            self._put(ids[start : start + _ID], place, is_given_once=True)

    def _take_leases(self, _: bytes, found: Sequence[Any]) -> None:
        for slot, id_, site, out, suspect in _groups(found, 5):
            self._put(id_, f"the lease of {_shown(slot)}")
            self._leases[slot] = (site, out, suspect)

    def _take_delayed(self, _: bytes, found: Sequence[Any]) -> None:
        for id_ in found:
            self._put(id_, "delayed")
            self._unreadable += not id_
        self._delayed |= {id_ for id_ in found if id_}

    def _take_dead(self, _: bytes, found: Sequence[Any]) -> None:
        for letter, reason, id_ in _groups(found, 3):
            self._put(id_, "dead")
            self._dead[letter] = _shown(reason)

    def _take_tally(self, _: bytes, found: Sequence[Any]) -> None:
        for reason, count, listed in _groups(found, 3):
            self._tally[_shown(reason)] = (count, listed)

    def _take_site(self, name: bytes, found: Sequence[Any]) -> None:
        is_site, count, *by_address = found
        self._sites[name.removeprefix(b"site:")] = (
            is_site,
            count,
            dict(zip(by_address[::2], by_address[1::2], strict=True)),
        )

    def _take_address(self, name: bytes, found: Sequence[Any]) -> None:
        self._out[name.removeprefix(b"out:")] = found[0]

    def _take_outbox(self, _: bytes, found: Sequence[Any]) -> None:
        self._outgoing += found[0]

    def _take_taken(self, name: bytes, found: Sequence[Any]) -> None:
        for id_ in found:
            self._put(id_, _shown(name), is_given_once=True)
        self._taken += len(found)

    def _take_pending(self, _: bytes, found: Sequence[Any]) -> None:
        self._pending = found[0]

    def _take_known(self, _: bytes, found: Sequence[Any]) -> None:
        self._known += found[0]


def _unbalanced(counted: Mapping[str, int]) -> Iterator[str]:
    """Return where the counters do not balance at any moment, whether the crawl changes or not."""
    queued = counted["suspects"] + sum(counted[f"q{band}"] for band in range(BANDS))
    elsewhere = sum(counted[name] for name in ("delayed", "leased", "done", "dead"))
    if counted["accepted"] != queued + elsewhere:
        yield f"the ledger does not balance: accepted {counted['accepted']} counted {queued + elsewhere}"


def _groups(flat: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (flat[start : start + size] for start in range(0, len(flat), size))


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")

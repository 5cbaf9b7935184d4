"""What an audit adds up over its slices of one shard, and the comparison of that with the crawl's counters."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from farm.frontier.external_sort import ExternalSort
from farm.frontier.shards import BANDS

AT_ONCE = 50_000
"""How many ids are compared in one call of a thread."""
SUSPECTS = "s"
"""The band of suspects."""
_ID = 16
_GIVEN_ONCE = (b"q:", b"taken:")
"""What the places begin with that are read in their order: there an id that comes twice is twice there."""


class AuditSums:
    """The sums over the slices of one shard, and their comparison with the crawl's counters."""

    def __init__(self, ids: ExternalSort, letters: ExternalSort) -> None:
        self.lists: set[str] = set()
        """The keys that list dead letters."""
        self._ids = ids
        """A line for each time that an id was seen: the id, and where."""
        self._letters = letters
        """A line for each time that a dead letter was seen: its key in hex digits, and its reason."""
        self._queued: Counter[str] = Counter()
        self._leases: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._delayed = 0
        self._dead: Counter[str] = Counter()
        self._tally: dict[str, tuple[int, int]] = {}
        self._sites = 0
        self._flying: dict[bytes, int] = {}
        self._flying_by: dict[tuple[bytes, bytes], int] = {}
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

    def take(self, pieces: Sequence[tuple[str, bytes, Sequence[Any]]]) -> None:
        """Add what a call found of pieces: of each its kind, its name, and what was found."""
        for kind, name, found in pieces:
            if kind in self._take:
                self._take[kind](name, found)

    def by_id(self) -> Iterator[list[bytes]]:
        """Return the lines of each id, and count the letters by their reasons."""
        for _, lines in groupby(self._letters, key=lambda line: line.partition(b" ")[0]):
            *_, last = lines
            self._dead[shown(last.partition(b" ")[2])] += 1
        for _, lines in groupby(self._ids, key=lambda line: line[:_ID]):
            yield list(lines)

    def compare_ids(self, ids: Iterator[list[bytes]]) -> list[tuple[bytes, bytes, bytes]] | None:
        """Return which of the next ids are in two places, and these; None if no id is left."""
        doubles: list[tuple[bytes, bytes, bytes]] = []
        lines: list[bytes] = []
        for lines in islice(ids, AT_ONCE):
            first = lines[0][_ID + 1 :]
            self._delayed += any(line[_ID + 1 :] == b"delayed" for line in lines)
            if len(lines) > 1:
                others = [line[_ID + 1 :] for line in lines[1:]]
                # A place that is scanned may give an id twice.
                doubles += [
                    (lines[0][:_ID], first, other)
                    for other in dict.fromkeys(others)
                    if other != first or first.startswith(_GIVEN_ONCE)
                ]
        return doubles if lines else None

    def compared(self, counted: Mapping[str, int]) -> Iterator[str]:
        """Return where the sums differ from the counters; only for a crawl that did not change meanwhile."""
        for band in range(BANDS):
            has, ought = self._queued[str(band)], counted[f"q{band}"]
            if has != ought:
                yield f"band {band} has {has} queued, counted {ought}"
        leases, delayed, dead = list(self._leases.values()), self._delayed, self._dead.total()
        for has, what, name in (
            (self._queued[SUSPECTS], "suspects are queued", "suspects"),
            (len(leases), "are leased", "leased"),
            (sum(suspect for *_, suspect in leases), "suspects are leased", "alone"),
            (delayed, "are delayed", "delayed"),
            (self._outgoing, "wait for other shards", "outbox"),
            (dead, "are dead", "dead"),
            (self._sites, "sites are there", "sites"),
        ):
            if has != counted[name]:
                yield f"{has} {what}, counted {counted[name]}"
        queued = sum(self._queued.values())
        if counted["accepted"] != queued + delayed + len(leases) + counted["done"] + dead:
            yield (
                f"the ledger does not balance: accepted {counted['accepted']} queued {queued} "
                f"delayed {delayed} leased {len(leases)} done {counted['done']} dead {dead}"
            )
        ought = counted["accepted"] + counted["seen"] + counted["dropped"]
        if counted["dedup"] == 0 and self._known != ought:
            yield f"{self._known} fingerprints are known, accepted, seen and dropped are {ought}"
        if self._taken != self._pending:
            yield f"{self._taken} pages of cheap renderers wait for an audit, counted {self._pending}"
        if self._taken > counted["done"]:
            yield f"{self._taken} pages of cheap renderers wait for an audit, done {counted['done']}"
        yield from self._letters_by_reason()
        yield from self._in_flight()

    def _letters_by_reason(self) -> Iterator[str]:
        for reason, (count, listed) in self._tally.items():
            if count != self._dead[reason]:
                yield f"{count} are counted dead of {reason} but {self._dead[reason]} are"
            if count != listed:
                yield f"{count} are counted dead of {reason} but {listed} are listed"
        for name in sorted(self.lists):
            if not self._dead[name.removeprefix("dead:")]:
                yield f"letters are listed under {name} and none is there"

    def _in_flight(self) -> Iterator[str]:
        flying = Counter(site for site, _, _ in self._leases.values())
        pairs = Counter((site, out) for site, out, _ in self._leases.values() if out)
        out_flying = Counter(out for _, out, _ in self._leases.values() if out)
        for site in sorted(self._flying.keys() | flying.keys()):
            if (count := self._flying.get(site, 0)) != flying[site]:
                yield f"site {shown(site)} counts {count} in flight, it has {flying[site]}"
        for pair in sorted(self._flying_by.keys() | pairs.keys()):
            if (count := self._flying_by.get(pair, 0)) != pairs[pair]:
                yield f"site {shown(pair[0])} counts {count} in flight by {shown(pair[1])} has {pairs[pair]}"
        for out in sorted(self._out.keys() | out_flying.keys()):
            if (count := self._out.get(out, 0)) != out_flying[out]:
                yield f"out:{shown(out)} counts {count} in flight, it has {out_flying[out]}"

    def _put(self, ids: Iterable[bytes], place: bytes) -> None:
        """Note where ids are. What cannot be read has none."""
        behind = b" " + place.replace(b"\n", b" ")
        self._ids.add(id_ + behind for id_ in ids if id_)

    def _take_queue(self, name: bytes, found: Sequence[Any]) -> None:
        count, ids = found
        self._queued[shown(name[2:3])] += count
        self._put((ids[start : start + _ID] for start in range(0, len(ids), _ID)), name)

    def _take_leases(self, _: bytes, found: Sequence[Any]) -> None:
        for slot, id_, site, out, suspect in _groups(found, 5):
            self._put([id_], b"the lease of " + slot)
            self._leases[slot] = (site, out, suspect)

    def _take_delayed(self, name: bytes, found: Sequence[Any]) -> None:
        self._put(found, name)
        self._delayed += sum(not id_ for id_ in found)

    def _take_dead(self, name: bytes, found: Sequence[Any]) -> None:
        self._put(found[2::3], name)
        self._letters.add(letter.hex().encode() + b" " + reason for letter, reason, _ in _groups(found, 3))

    def _take_tally(self, _: bytes, found: Sequence[Any]) -> None:
        for reason, count, listed in _groups(found, 3):
            self._tally[shown(reason)] = (count, listed)

    def _take_site(self, name: bytes, found: Sequence[Any]) -> None:
        site = name.removeprefix(b"site:")
        is_site, count, *by_address = found
        self._sites += is_site
        if count:
            self._flying[site] = count
        for out, number in _groups(by_address, 2):
            if number:
                self._flying_by[site, out] = number

    def _take_address(self, name: bytes, found: Sequence[Any]) -> None:
        if found[0]:
            self._out[name.removeprefix(b"out:")] = found[0]

    def _take_outbox(self, _: bytes, found: Sequence[Any]) -> None:
        self._outgoing += found[0]

    def _take_taken(self, name: bytes, found: Sequence[Any]) -> None:
        self._put(found, name)
        self._taken += len(found)

    def _take_pending(self, _: bytes, found: Sequence[Any]) -> None:
        self._pending = found[0]

    def _take_known(self, _: bytes, found: Sequence[Any]) -> None:
        self._known += found[0]


def _groups(flat: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (flat[start : start + size] for start in range(0, len(flat), size))


def shown(text: bytes) -> str:
    """Return what Redis keeps as text for a person."""
    return text.decode(errors="replace")

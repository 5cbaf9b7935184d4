"""Removal of entries that a later revision has replaced from a closed log.

The log is rewritten beside itself and replaced as a whole, then its sidecar. A kill between the two leaves a
sidecar that does not fit its log; it is rebuilt when the log is opened.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from farm.resources.files import whole_file
from farm.sinks.append_log import AppendLog
from farm.sinks.log_index import LogIndex

Stale = Callable[[Sequence[AppendLog]], Sequence[AbstractSet[int]]]
"""Returns for logs, the oldest first, the numbers of their replaced entries."""

AT_END_BYTES = 4 * 2**30
"""A larger log is not rewritten when a run ends, since that takes too long; the next run or an export does it."""
_COPY_BYTES = 1 << 20
_PENDING = 10_000


def replaced_pages(keys: AbstractSet[bytes]) -> Stale:
    """Return the function that finds the entries with these keys that a later one replaces."""

    def stale(logs: Sequence[AppendLog]) -> list[set[int]]:
        found: list[set[int]] = [set() for _ in logs]
        last: dict[bytes, tuple[int, int]] = {}
        for place, log in enumerate(logs):
            for number, (key, _) in enumerate(log.entries()):
                if key in keys:
                    if key in last:
                        found[last[key][0]].add(last[key][1])
                    last[key] = place, number
        return found

    return stale


def replaced_items(pages: AbstractSet[bytes], id_of: Callable[[bytes], bytes | None]) -> Stale:
    """Return the function that finds the items of these pages that do not belong to their last revision.

    The items of a revision are consecutive and are counted from 1; a revision without items has an entry with the
    number 0, which is removed too.
    """

    def stale(logs: Sequence[AppendLog]) -> list[set[int]]:
        found: list[set[int]] = [set() for _ in logs]
        runs: dict[bytes, tuple[int, list[tuple[int, int]]]] = {}
        for place, log in enumerate(logs):
            for number, (_, read) in enumerate(log.entries()):
                page_id, _, item = (id_of(read()) or b"").partition(b"-")
                page = bytes.fromhex(page_id.decode())
                if page not in pages:
                    continue
                last, run = runs.get(page, (0, []))
                if int(item) <= last or int(item) == 0:
                    for old_place, old_number in run:
                        found[old_place].add(old_number)
                    run = []
                if int(item) == 0:
                    found[place].add(number)
                runs[page] = int(item), [*run, (place, number)]
        return found

    return stale


def compact(logs: Sequence[AppendLog], stale: Stale) -> int:
    """Close the logs, and rewrite those with stale entries; return the number of these entries. Raises OSError."""
    found = stale(logs)
    with ExitStack() as held:
        for log in logs:
            # Another crawl may have the same file as its sink, and must not add to what is being replaced.
            held.callback(os.close, log.hold())
            log.close()
        for log, numbers in zip(logs, found, strict=True):
            if numbers:
                take_out(log.path, log.index_path, log.header_bytes, numbers)
    return sum(map(len, found))


def index_draft(index_path: Path) -> Path:
    """Return where a sidecar is written anew; a kill leaves it, and the next opening removes it."""
    return index_path.with_name(f".{index_path.name}.draft")


def take_out(path: Path, index_path: Path, header_bytes: int, numbers: AbstractSet[int]) -> None:
    """Write the log without the entries of these numbers, and its sidecar.

    Raises OSError; the log is then unchanged.
    """
    index = LogIndex(index_path)
    try:
        with path.open("rb") as log, whole_file(path, replace=True) as draft:
            draft.write(log.read(header_bytes))
            for start, end in _kept(index, header_bytes, numbers):
                log.seek(start)
                left = end - start
                while left and (chunk := log.read(min(left, _COPY_BYTES))):
                    draft.write(chunk)
                    left -= len(chunk)
        _renumber(index, index_path, header_bytes, numbers)
    finally:
        index.close()


def _kept(index: LogIndex, header_bytes: int, numbers: AbstractSet[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each part of the log that stays."""
    since = end = header_bytes
    for number, (_, entry_end) in enumerate(index.entries()):
        if number in numbers:
            if end > since:
                yield since, end
            since = entry_end
        end = entry_end
    if end > since:
        yield since, end


def _renumber(index: LogIndex, index_path: Path, header_bytes: int, numbers: AbstractSet[int]) -> None:
    """Replace the sidecar by that of the rest, of which a part at a time is in memory."""
    draft = index_draft(index_path)
    draft.unlink(missing_ok=True)
    rest = LogIndex(draft)
    try:
        kept = _renumbered(index, header_bytes, numbers)
        while part := list(islice(kept, _PENDING)):
            rest.append(part)
    finally:
        rest.close()
    draft.replace(index_path)


def _renumbered(index: LogIndex, header_bytes: int, numbers: AbstractSet[int]) -> Iterator[tuple[bytes, int]]:
    """Yield the key and the new end of each entry that stays."""
    start = header_bytes
    gone = 0
    for number, (key, end) in enumerate(index.entries()):
        if number in numbers:
            gone += end - start
        else:
            yield key, end - gone
        start = end

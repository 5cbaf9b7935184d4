"""The sink of a run: the output folder, and one or several stores of records.

`skipped.jsonl` and the files that records name are in the output folder, whatever the stores are. They are written
in the first store's thread, in the same group. A commit returns when every store has it. `skipped.jsonl` has a URL
once per reason, as far as a bounded memory reaches: a site may have the same foreign link on every page.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import orjson

from farm.model.clock import Clock
from farm.model.errors import OutputUnwritable, RenderError
from farm.model.event import Emit, SinkAway, SinkBack
from farm.model.outcome import FailureKind, SkipReason
from farm.model.record import Batch, ItemColumns, Skip
from farm.resources.files import FolderLock
from farm.sinks.address import DEFAULT, SinkAddress, store_of
from farm.sinks.append_log import AppendLog
from farm.sinks.batch import OPENING_S, BatchingWriter
from farm.sinks.bodies import write_body
from farm.sinks.files import Files, clear
from farm.sinks.log_file import remove
from farm.sinks.log_index import KEY_BYTES, RecentKeys
from farm.sinks.record import FOLDERS, json_line
from farm.sinks.segments import SegmentStore
from farm.sinks.snapshots import SnapshotFolder
from farm.sinks.store import FIRST_RETRY_S, AgingStore, Store

PRIVATE_FOLDER = ".farm"
"""The folder of the sidecars, in the output folder."""
_LOCK = "sink.lock"
"""Locked in it from the opening of the stores until the last of their threads has ended."""

AWAY_AFTER_S = 5.0
"""A store that is busy with one group for this long is reported as unavailable."""
CLOSING_S = 30.0
"""The deadline of closing; files of many records may need a few seconds of it."""
UPLOADING_S = 120.0
"""The same for stores on another machine; the next run writes what is not there by then."""
_REMEMBERED_SKIPS = 1_000_000

# The first byte of a skip's key is its reason, so that the sidecar alone has the counts by reason. The numbers are
# stored: never give one to another reason.
_CODES: Mapping[SkipReason, int] = {
    SkipReason.OUT_OF_SCOPE: 1,
    SkipReason.EXCLUDED: 2,
    SkipReason.ROBOTS: 3,
    SkipReason.DEPTH: 4,
    SkipReason.SCHEME: 5,
    SkipReason.PRIVATE_NETWORK: 6,
    SkipReason.TOO_LONG: 7,
    SkipReason.TRAP: 8,
    SkipReason.NOFOLLOW: 9,
    SkipReason.DUPLICATE_CONTENT: 10,
    SkipReason.HANDLER: 11,
}
_FolderEntry = tuple[Sequence[tuple[bytes, bytes]], Any]
"""The lines of the skips with their keys, and the records as the first store encodes them, None without any."""


class _SkipKeys(RecentKeys):
    """The recent keys, and the total counts by reason."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.counts: Counter[int] = Counter()

    def add(self, key: bytes) -> None:
        super().add(key)
        self.counts[key[0]] += 1


class _FolderStore:
    """The output folder with the first store of records behind it."""

    def __init__(self, folder: Path, store: Store[Any], remembered_skips: int) -> None:
        self.name, self.item_place = store.name, store.item_place
        self.store = store
        self.keys = _SkipKeys(remembered_skips)
        self._folder = folder
        self._private = folder / PRIVATE_FOLDER

    @property
    def records(self) -> int | None:
        return self.store.records

    @property
    def written(self) -> int:
        return self.store.written

    @property
    def file_bytes(self) -> int:
        return self._files.written_bytes

    def clear(self) -> None:
        self.store.clear()
        _clear_folder(self._folder)

    def open(self) -> None:
        self.store.open()
        skipped = self._folder / "skipped.jsonl"
        try:
            self._skipped = AppendLog(skipped, self._private / "skipped.index", _skip_line_key, self.keys)
        except OutputUnwritable:
            self.store.close()
            raise
        self._closing = ExitStack()
        self._closing.callback(self._skipped.close)
        self._files = Files(self._folder, self._private)
        self._snapshots = SnapshotFolder(self._folder, self._files)

    def encode(self, batch: Batch) -> tuple[_FolderEntry, int]:
        """Encode, and write the records' files: they must be durable before the records."""
        encoded, size_bytes = self.store.encode(batch) if batch.records else (None, 0)
        skips = [_skip_entry(skip) for skip in batch.skips]
        for record in batch.records:
            for path, content in record.files.items():
                self._files.write(path, content)
            if record.body is not None:
                write_body(self._folder, self._files, *record.body)
        if batch.snapshots:
            self._snapshots.write(batch.snapshots)
        return (skips, encoded), size_bytes

    def write(self, group: Sequence[_FolderEntry]) -> None:
        records = [encoded for _, encoded in group if encoded is not None]
        if records:
            self.store.write(records)
        self._skipped.append([entry for skips, _ in group for entry in skips])

    def close(self) -> None:
        # First: who has waited for the end of the store may open this too.
        self._closing.close()
        self.store.close()


class RecordSink:
    """The open sink; `open` it, and `close` it at the end. Satisfies the port `Sink`."""

    def __init__(
        self,
        first: _FolderStore,
        others: Sequence[Store[Any]],
        lock: FolderLock,
        patience_s: float,
        closing_s: float = CLOSING_S,
    ) -> None:
        """Use the stores; `lock` is that of the output folder, taken."""
        self._folder = first
        self._stores = (first.store, *others)
        self._closing_s = closing_s
        self._first = BatchingWriter(first, patience_s=patience_s, aging=_aging(first.store))
        self._others = tuple(
            BatchingWriter(store, patience_s=patience_s, aging=_aging(store)) for store in others
        )
        self._away: dict[str, float] = {}
        self._lock = lock
        self.items = 0
        """How many items of pages were written since it was opened."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        addresses: Sequence[SinkAddress] = (DEFAULT,),
        *,
        fresh: bool = False,
        patience_s: float = 300.0,
        remembered_skips: int = _REMEMBERED_SKIPS,
        node: str = "node",
        item_columns: ItemColumns | None = None,
    ) -> Self:
        """Return the sink of the output folder and these stores, open; `fresh` empties what is the crawl's own.

        `node` is in the names of files in a folder that several nodes share. `item_columns` are the fields that
        items can have; None if that is not known.

        Opening repairs what a crash has left. Raises `OutputUnwritable` if a store cannot be written to, or a
        run whose end was given up still writes to one.
        """
        stores = [
            store_of(address, folder, folder / PRIVATE_FOLDER, node, item_columns) for address in addresses
        ]
        closing_s = UPLOADING_S if any(address.remote for address in addresses) else CLOSING_S
        lock = FolderLock(folder / PRIVATE_FOLDER / _LOCK)
        await _take(lock, folder)
        sink = cls(_FolderStore(folder, stores[0], remembered_skips), stores[1:], lock, patience_s, closing_s)
        async with AsyncExitStack() as opened:
            opened.callback(sink._release)
            for writer in (sink._first, *sink._others):
                await writer.open(fresh=fresh)
                opened.push_async_callback(writer.close)
            opened.pop_all()
        return sink

    @property
    def stores(self) -> Sequence[Store[Any]]:
        """The stores, for their names and numbers."""
        return self._stores

    @property
    def skipped(self) -> dict[str, int]:
        """The lines of `skipped.jsonl` by reason, over all runs."""
        counts = dict(self._folder.keys.counts)
        return {str(reason): counts[code] for reason, code in _CODES.items() if code in counts}

    @property
    def file_bytes(self) -> int:
        """How many bytes of files, besides the records, were written since the sink was opened."""
        return self._folder.file_bytes

    async def commit(self, batch: Batch) -> None:
        """Return when every store has the batch durably.

        Raises `OutputUnwritable`, or `RenderError` of kind `corrupt` for a record that a store cannot write.
        """
        if not batch.records:
            if batch:
                await self._first.commit(batch)
            return
        if not self._others or any(record.has_files for record in batch.records):
            # Files must be durable before any record that names them.
            await self._first.commit(batch)
            commits = [writer.commit(batch) for writer in self._others]
        else:
            commits = [writer.commit(batch) for writer in (self._first, *self._others)]
        if commits:
            failures = [
                one for one in await asyncio.gather(*commits, return_exceptions=True) if one is not None
            ]
            # That the output cannot be written comes before a page's own fault.
            failures.sort(key=lambda one: isinstance(one, RenderError))
            if failures:
                raise failures[0]
        self.items += sum(len(record.items or ()) for record in batch.records)

    async def watch(self, emit: Emit, clock: Clock, away_after_s: float = AWAY_AFTER_S) -> None:
        """Emit `SinkAway` when a store takes longer than `away_after_s`, and `SinkBack` when it has finished.

        Never returns.
        """
        try:
            while True:
                await asyncio.sleep(min(1.0, away_after_s))
                self._tell(emit, clock, away_after_s)
        finally:
            # What was said to be away is not left so where the run ends in the second in which it came back.
            self._tell(emit, clock, away_after_s)

    def _tell(self, emit: Emit, clock: Clock, away_after_s: float) -> None:
        for writer in (self._first, *self._others):
            busy_s, why = writer.waits()
            now, since = clock.monotonic(), self._away.get(writer.name)
            if busy_s >= away_after_s and since is None:
                self._away[writer.name] = now - busy_s
                emit(SinkAway(now, now - busy_s, writer.name, why))
            elif busy_s < away_after_s and since is not None:
                del self._away[writer.name]
                emit(SinkBack(now, writer.name, now - since))

    async def close(self, deadline_s: float | None = None) -> None:
        """Write the waiting batches and close every store. Raises `OutputUnwritable`, and only once."""
        within_s = self._closing_s if deadline_s is None else deadline_s
        closing = [writer.close(within_s) for writer in (self._first, *self._others)]
        try:
            failures = [
                one for one in await asyncio.gather(*closing, return_exceptions=True) if one is not None
            ]
        finally:
            self._release()
        if failures:
            raise failures[0]

    def _release(self) -> None:
        """Release the output folder once the thread of each store has ended: one that was given up goes on."""
        for writer in (self._first, *self._others):
            if writer.is_at_work:
                writer.when_ended(self._release)
                return
        self._lock.release()


async def _take(lock: FolderLock, folder: Path) -> None:
    """Take the lock of the output folder, waiting for `OPENING_S`. Raises `OutputUnwritable`."""
    try:
        async with asyncio.timeout(OPENING_S):
            while not lock.try_take():  # noqa: ASYNC110 - the kernel tells nobody when it is released
                await asyncio.sleep(FIRST_RETRY_S)
    except TimeoutError:
        raise OutputUnwritable(
            f"{folder} is still being written to by a run that has ended (process {lock.holder}); "
            "wait until its last records are written, end that process, or choose another --output"
        ) from None


def clear_output(folder: Path, addresses: Sequence[SinkAddress]) -> None:
    """Remove the files of runs from an output folder and from these sinks.

    Raises `OutputUnwritable`, and UsageError if a run still writes there.
    """
    lock = FolderLock(folder / PRIVATE_FOLDER / _LOCK)
    lock.take()
    try:
        for address in addresses:
            store_of(address, folder, folder / PRIVATE_FOLDER).clear()
        _clear_folder(folder)
    finally:
        lock.release()


def _clear_folder(folder: Path) -> None:
    for path in (folder / PRIVATE_FOLDER / "skipped.index", folder / "skipped.jsonl"):
        remove(path)
    clear(folder, FOLDERS.values())


def _aging(store: Store[Any]) -> AgingStore | None:
    return store if isinstance(store, SegmentStore) else None


def _skip_entry(skip: Skip) -> tuple[bytes, bytes]:
    line = {"url": skip.url, "reason": str(skip.reason), "referrer": skip.referrer, "depth": skip.depth}
    if skip.detail:
        line["detail"] = skip.detail
    try:
        return _skip_key(skip.reason, skip.url), json_line(line)
    except ValueError as error:
        raise RenderError(FailureKind.CORRUPT, f"the skip cannot be written as JSON ({error})") from error


def _skip_key(reason: SkipReason, url: str) -> bytes:
    digest = blake2b(url.encode("utf-8", "replace"), digest_size=KEY_BYTES - 1).digest()
    return bytes([_CODES[reason]]) + digest


def _skip_line_key(line: bytes) -> bytes | None:
    try:
        fields = orjson.loads(line)
        return _skip_key(SkipReason(fields["reason"]), fields["url"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return None

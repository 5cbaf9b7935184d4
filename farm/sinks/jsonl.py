"""The JSONL sink: `pages.jsonl` and `skipped.jsonl` in the output folder, and the files that records name.

`pages.jsonl` has each record id once, over any number of runs and crashes. `skipped.jsonl` has a URL once per
reason, as far as a bounded memory reaches: a site may have the same foreign link on every page.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind, SkipReason
from farm.model.record import Batch, Record, Skip
from farm.sinks.append_log import AppendLog
from farm.sinks.batch import BatchingWriter
from farm.sinks.files import Files, clear
from farm.sinks.log_index import KEY_BYTES, AllKeys, RecentKeys
from farm.sinks.record import FOLDERS, json_line

PRIVATE_FOLDER = ".farm"
"""Where the sidecars are, inside the output folder."""

_REMEMBERED_SKIPS = 1_000_000
_ID = re.compile(rb'\{"id":"([0-9a-f]{32})"')

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
}


@dataclass(frozen=True, slots=True)
class _Lines:
    pages: Sequence[tuple[bytes, bytes]]
    skipped: Sequence[tuple[bytes, bytes]]


class _SkipKeys(RecentKeys):
    """The recent keys, and the total counts by reason."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.counts: Counter[int] = Counter()

    def add(self, key: bytes) -> None:
        super().add(key)
        self.counts[key[0]] += 1


class JsonlSink:
    """The sink in `folder`; opening it repairs what a crash has left there.

    Raises `OutputUnwritable` when the folder cannot be written to.
    """

    def __init__(self, folder: Path, *, remembered_skips: int = _REMEMBERED_SKIPS) -> None:
        private = folder / PRIVATE_FOLDER
        self._skip_keys = _SkipKeys(remembered_skips)
        self._pages = AppendLog(folder / "pages.jsonl", private / "pages.index", _page_key, AllKeys())
        self._skipped = AppendLog(
            folder / "skipped.jsonl", private / "skipped.index", _skip_line_key, self._skip_keys
        )
        self._records_before = self._pages.lines
        self._files = Files(folder, private)
        self._writer = BatchingWriter(self._encode, self._write)

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove the records and skips of a crawl that is started anew. Raises `OutputUnwritable`."""
        private = folder / PRIVATE_FOLDER
        # The sidecars first: a crash between the two leaves a log whose index is rebuilt.
        for path in (private / "pages.index", private / "skipped.index"):
            _remove(path)
        for path in (folder / "pages.jsonl", folder / "skipped.jsonl"):
            _remove(path)
        clear(folder, FOLDERS.values())

    @property
    def records(self) -> int:
        """How many records the sink has, over all runs."""
        return self._pages.lines

    @property
    def written(self) -> int:
        """How many records this run has written; existing ones are not written again."""
        return self._pages.lines - self._records_before

    @property
    def skipped(self) -> dict[str, int]:
        """The lines of `skipped.jsonl` by reason, over all runs."""
        counts = dict(self._skip_keys.counts)
        return {str(reason): counts[code] for reason, code in _CODES.items() if code in counts}

    @property
    def file_bytes(self) -> int:
        """How many bytes of files, besides the records, were written since the sink was opened."""
        return self._files.written_bytes

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable.

        Raises `OutputUnwritable`, or `RenderError` of kind `corrupt` for a record that cannot be written as JSON.
        """
        if batch.records or batch.skips:
            await self._writer.commit(batch)

    async def close(self, deadline_s: float = 10.0) -> None:
        """Write the waiting batches and close the files."""
        await self._writer.close(deadline_s)
        self._pages.close()
        self._skipped.close()

    def _encode(self, batch: Batch) -> _Lines:
        """Encode, and write the records' files: they must be durable before the records."""
        encoded = _encode(batch)
        for record in batch.records:
            for path, content in record.files.items():
                self._files.write(path, content)
        return encoded

    def _write(self, group: Sequence[_Lines]) -> None:
        self._pages.append([entry for lines in group for entry in lines.pages])
        self._skipped.append([entry for lines in group for entry in lines.skipped])


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be removed ({error.strerror}); see to its permissions, or choose another --output."
        ) from None


def _encode(batch: Batch) -> _Lines:
    try:
        return _Lines(
            [_page_entry(record) for record in batch.records], [_skip_entry(skip) for skip in batch.skips]
        )
    except ValueError as error:
        raise RenderError(FailureKind.CORRUPT, f"the record cannot be written as JSON ({error})") from error


def _page_entry(record: Record) -> tuple[bytes, bytes]:
    key = bytes.fromhex(record.id)
    if len(key) != KEY_BYTES:
        raise ValueError(f"the id {record.id} does not have {2 * KEY_BYTES} hex digits")
    return key, json_line(record.fields)


def _skip_entry(skip: Skip) -> tuple[bytes, bytes]:
    line = {"url": skip.url, "reason": str(skip.reason), "referrer": skip.referrer, "depth": skip.depth}
    return _skip_key(skip.reason, skip.url), json_line(line)


def _skip_key(reason: SkipReason, url: str) -> bytes:
    digest = blake2b(url.encode("utf-8", "replace"), digest_size=KEY_BYTES - 1).digest()
    return bytes([_CODES[reason]]) + digest


def _page_key(line: bytes) -> bytes | None:
    # The id comes first in a record, so that rebuilding an index need not parse whole pages.
    found = _ID.match(line)
    if found:
        return bytes.fromhex(found[1].decode())
    try:
        key = bytes.fromhex(_loaded(line)["id"])
    except (TypeError, ValueError, KeyError):
        return None
    return key if len(key) == KEY_BYTES else None


def _skip_line_key(line: bytes) -> bytes | None:
    fields = _loaded(line)
    try:
        return _skip_key(SkipReason(fields["reason"]), fields["url"])
    except (ValueError, KeyError, AttributeError):
        return None


def _loaded(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}

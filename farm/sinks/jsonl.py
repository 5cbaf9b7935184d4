"""The JSONL store: a line of JSON a record, each id once over any number of runs and crashes."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import orjson

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.sinks.append_log import AppendLog
from farm.sinks.log_index import KEY_BYTES, AllKeys
from farm.sinks.record import json_line

_ID = re.compile(rb'\{"id":"([0-9a-f]{32})"')


class JsonlStore:
    """The lines of the file at `path`; what is known of it beside the lines is in `private`."""

    def __init__(self, path: Path, private: Path, index: str = "") -> None:
        self._option = "--output" if index else "--sink"
        self.name = f"jsonl:{path}"
        self._path = path
        digest = blake2b(str(path).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self._index_path = private / (index or f"sink-{digest}.index")
        self._log: AppendLog | None = None
        self._lines_before = 0

    @property
    def records(self) -> int:
        """How many records the file has, over all runs."""
        return self._log.lines if self._log is not None else 0

    @property
    def written(self) -> int:
        """How many records were written since it was opened; existing ones are not written again."""
        return self.records - self._lines_before

    def clear(self) -> None:
        """Remove the file of a crawl that is started anew. Raises `OutputUnwritable`."""
        # The sidecar first: a crash between the two leaves a log whose index is rebuilt.
        for path in (self._index_path, self._path):
            remove(path)

    def open(self) -> None:
        """Open the file, and repair what a crash has left there. Raises `OutputUnwritable`."""
        self._log = AppendLog(self._path, self._index_path, _line_key, AllKeys(), self._option)
        self._lines_before = self._log.lines

    def encode(self, batch: Batch) -> tuple[Sequence[tuple[bytes, bytes]], int]:
        """Return the lines of a batch with their keys, and their bytes.

        Raises `RenderError` of kind `corrupt` for a record that cannot be written as JSON.
        """
        try:
            entries = [_entry(record) for record in batch.records]
        except ValueError as error:
            raise RenderError(
                FailureKind.CORRUPT, f"the record cannot be written as JSON ({error})"
            ) from error
        return entries, sum(len(line) for _, line in entries)

    def write(self, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Write the lines with new ids durably. Raises `OutputUnwritable`."""
        if self._log is None:
            raise AssertionError("the store is not open")
        self._log.append([entry for entries in group for entry in entries])

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()


def remove(path: Path) -> None:
    """Remove a file of a crawl that is started anew. Raises `OutputUnwritable`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be removed ({error.strerror}); see to its permissions, or choose another --output."
        ) from None


def _entry(record: Record) -> tuple[bytes, bytes]:
    key = bytes.fromhex(record.id)
    if len(key) != KEY_BYTES:
        raise ValueError(f"the id {record.id} does not have {2 * KEY_BYTES} hex digits")
    return key, json_line(record.fields)


def _line_key(line: bytes) -> bytes | None:
    # The id comes first in a record, so that rebuilding an index need not parse whole pages.
    found = _ID.match(line)
    if found:
        return bytes.fromhex(found[1].decode())
    try:
        key = bytes.fromhex(orjson.loads(line)["id"])
    except (TypeError, ValueError, KeyError):
        return None
    return key if len(key) == KEY_BYTES else None

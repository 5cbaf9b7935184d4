"""The store behind `stdout:`: a line of JSON a record on standard output, each id once in a run.

A terminal gets the same values, with what could move its cursor or turn its direction as escapes of JSON.

If the reader closes the pipe, the run ends; a slow reader slows the crawl down. A later run does not know what was
written: a page that was written but not acknowledged when the farm was killed is written again.
"""

import os
import select
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch
from farm.model.text import printable_json
from farm.sinks.append_log import Revised, fresh_of
from farm.sinks.log_index import AllKeys
from farm.sinks.record import json_line

_PIECE_BYTES = 1 << 16


_RESERVED: list[int] = []


def reserve() -> bool:
    """Reserve standard output for records: all other output goes to standard error from now on.

    Returns whether it is a terminal.
    """
    if not _RESERVED:
        _RESERVED.append(os.dup(1))
        os.dup2(2, 1)
    return os.isatty(_RESERVED[0])


class StandardOutput:
    """Standard output, `reserve`d before."""

    name = item_place = "stdout:"

    def __init__(self) -> None:
        self.written = 0
        self.records: int | None = None
        self._seen = AllKeys()
        self._is_terminal = False

    def clear(self) -> None:
        """Do nothing: written lines cannot be removed."""

    def open(self) -> None:
        """Open a separate descriptor for it. Raises `OutputUnwritable` if it is closed."""
        try:
            self._fd = os.dup(_RESERVED[0] if _RESERVED else 1)
            self._is_terminal = os.isatty(self._fd)
        except OSError as error:
            raise _gone(error) from error

    def encode(self, batch: Batch) -> tuple[Sequence[tuple[bytes, bytes]], int]:
        """Return the lines of a batch with their keys, and their bytes."""
        try:
            lines = [
                (
                    bytes.fromhex(record.id),
                    b"".join(self._line(one) for one in (record.fields, *(record.items or ()))),
                )
                for record in batch.records
            ]
        except ValueError as error:
            raise RenderError(
                FailureKind.CORRUPT, f"the record cannot be written as JSON ({error})"
            ) from error
        return Revised.where(lines, batch.records), sum(len(line) for _, line in lines)

    def _line(self, fields: Mapping[str, Any]) -> bytes:
        line = json_line(fields)
        return printable_json(line.decode()).encode() if self._is_terminal else line

    def write(self, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Write the lines with new ids, each completely. Raises `OutputUnwritable` if the reader is gone."""
        fresh = fresh_of(chain.from_iterable(group), self._seen)
        rest = memoryview(b"".join(lines for _, lines in fresh.values()))
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest[:_PIECE_BYTES]) :]
                except BlockingIOError:
                    # Another program that has the same pipe open has made it so.
                    select.select([], [self._fd], [], 1.0)
        except OSError as error:
            raise _gone(error) from error
        for key in fresh:
            if key not in self._seen:
                self._seen.add(key)
        self.written += len(fresh)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def _gone(error: OSError) -> OutputUnwritable:
    return OutputUnwritable(
        f"standard output cannot be written ({error.strerror}); keep its reader running, or use another --sink"
    )

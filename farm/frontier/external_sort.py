"""Sorts more lines than fit into memory: an external merge sort over temporary files.

In memory are at most `RUN_LINES` lines, and a read buffer for each file that is being merged; of each level of
merges there are fewer than `MOST_RUNS`. The files are nameless, in the folder for temporary files (`TMPDIR`): they
are gone when the process is.
"""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Self

from farm.frontier.faults import reason_of
from farm.model.errors import OutputUnwritable

RUN_LINES = 100_000
MOST_RUNS = 32


class ExternalSort:
    """Lines of bytes that are added in any order and read in theirs; none may contain a line break.

    A context manager: leaving it deletes the files. Adding and reading raise OutputUnwritable if a temporary file
    cannot be written.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._levels: list[list[BinaryIO]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for runs in self._levels:
            for run in runs:
                run.close()
        self._levels, self._lines = [], []

    def add(self, lines: Iterable[bytes]) -> None:
        """Add lines. Whoever adds more than `RUN_LINES` at once has them all in memory."""
        self._lines += [line + b"\n" for line in lines]
        if len(self._lines) >= RUN_LINES:
            self._lines.sort()
            self._write(self._lines, 0)
            self._lines = []

    def __iter__(self) -> Iterator[bytes]:
        """Return the lines that were added so far, in order; a line that was added twice comes twice."""
        runs = [run for level in self._levels for run in level]
        for run in runs:
            run.seek(0)
        for line in heapq.merge(sorted(self._lines), *runs):
            yield line[:-1]

    def _write(self, lines: Iterable[bytes], level: int) -> None:
        """Write a run, and merge those of its level if they are too many: a line moves up a few times at most."""
        try:
            run: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
            self._levels += [[]] if level == len(self._levels) else []
            self._levels[level].append(run)
            run.writelines(lines)
            run.flush()
        except OSError as error:
            raise OutputUnwritable(
                f"No temporary file can be written in {tempfile.gettempdir()} ({reason_of(error)}); "
                "free some space there, or name another folder by TMPDIR."
            ) from None
        if len(self._levels[level]) == MOST_RUNS:
            runs, self._levels[level] = self._levels[level], []
            for one in runs:
                one.seek(0)
            self._write(heapq.merge(*runs), level + 1)
            for one in runs:
                one.close()

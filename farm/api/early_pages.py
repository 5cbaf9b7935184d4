"""Pages that came before their turn: a few wait in memory, the others in a file.

The crawl is not held up for them: the page whose turn it is may itself wait for its retry, and no slot that is
held up could visit it. Invariants: at most `most` pages are in memory; the file has no name, so that nothing is
left of it; its space is free again when no page waits in it, and it has no page twice.
"""

import asyncio
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from farm.model.errors import OutputUnwritable
from farm.model.handling import DeadPage

Page = Mapping[str, Any] | DeadPage


class EarlyPages:
    """Keeps pages by their URLs; used by one task. The file is in the folder, and created when it is needed."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._held: dict[str, Page] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self._end = 0

    def __contains__(self, url: str) -> bool:
        """Return whether the page of a URL waits."""
        return url in self._held or url in self._places

    @property
    def in_memory(self) -> int:
        """How many pages wait in memory."""
        return len(self._held)

    async def put(self, url: str, page: Page) -> None:
        """Keep a page. Raises OutputUnwritable if the file cannot be written."""
        if len(self._held) < self._most:
            self._held[url] = page
            return
        try:
            self._places[url] = await asyncio.to_thread(self._write, page)
        except OSError as error:
            raise OutputUnwritable(
                f"Pages that wait for their turn cannot be written to {self._folder} ({error.strerror}); free "
                "some space there, or set TMPDIR to another folder."
            ) from None

    async def pop(self, url: str) -> Page | None:
        """Return the page of a URL, and keep it no longer; None if there is none. Raises OutputUnwritable."""
        place = self._places.pop(url, None)
        if place is None:
            return self._held.pop(url, None)
        try:
            return await asyncio.to_thread(self._read, *place)
        except OSError as error:
            raise OutputUnwritable(
                f"Pages that wait for their turn cannot be read from {self._folder} ({error.strerror}); set "
                "TMPDIR to another folder."
            ) from None

    def close(self) -> None:
        """Forget all pages."""
        file, self._file = self._file, None
        self._held, self._places = {}, {}
        if file is not None:
            file.close()

    def _write(self, page: Page) -> tuple[int, int]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `close`
        packed = pickle.dumps(page, pickle.HIGHEST_PROTOCOL)
        start, rest = self._end, memoryview(packed)
        self._file.seek(start)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._end = start + len(packed)
        return start, len(packed)

    def _read(self, start: int, size: int) -> Page:
        if self._file is None:
            raise AssertionError("a page with a place is in the file")
        self._file.seek(start)
        packed = b""
        while len(packed) < size and (piece := self._file.read(size - len(packed))):
            packed += piece
        if not self._places:
            self._file.truncate(0)
            self._end = 0
        page: Page = pickle.loads(packed)  # noqa: S301 - a file without a name, which only this process has
        return page

"""Snapshots of pages whose URLs were given up, beside the records: `snapshots/ID.jpg` and `snapshots/ID.html`.

The last ones are kept: at most `MOST` URLs and `MOST_BYTES`, over all runs in the folder; the oldest are deleted,
which is logged once. A file is written completely or not at all, and durable before its URL is settled.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from farm.model.errors import OutputUnwritable
from farm.model.page import PageSnapshot
from farm.model.record import SNAPSHOTS, snapshot_files
from farm.sinks.files import Files

log = logging.getLogger("farm.sinks")
MOST = 1_000
MOST_BYTES = 512 * 2**20


class SnapshotFolder:
    """The snapshots in an output folder. One thread at a time may use it."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder / SNAPSHOTS
        self._files = files
        self._known: dict[str, dict[str, int]] | None = None
        self._is_told = False

    def write(self, snapshots: Mapping[str, PageSnapshot]) -> None:
        """Make the snapshots durable in place of earlier ones of their URLs. Raises `OutputUnwritable`."""
        known = self._known if self._known is not None else self._found()
        self._known = known
        for id_, shown in snapshots.items():
            self._remove(known.pop(id_, {}))
            # Noted before it is written, so that a partly written snapshot is removed later.
            written = known.setdefault(id_, {})
            for path, content in snapshot_files({id_: shown}).items():
                written[path] = len(content)
                self._files.write(path, content)
        while len(known) > MOST or sum(sum(one.values()) for one in known.values()) > MOST_BYTES:
            self._remove(known.pop(next(iter(known))))
            if not self._is_told:
                self._is_told = True
                log.warning(
                    "snapshots/ has %d URLs or %d MiB, the most that is kept: the oldest are deleted",
                    MOST,
                    MOST_BYTES // 2**20,
                )

    def _remove(self, files: Mapping[str, int]) -> None:
        for path, size_bytes in files.items():
            self._files.remove(path, size_bytes)

    def _found(self) -> dict[str, dict[str, int]]:
        """Return the sizes of the files that are there, by URL, the oldest first. Raises `OutputUnwritable`."""
        found: list[tuple[float, str, int]] = []
        try:
            if self._folder.is_dir() and not self._folder.is_symlink():
                for path in self._folder.iterdir():
                    # Others may remove what they have looked at.
                    with suppress(FileNotFoundError):
                        about = path.lstat()
                        found.append((about.st_mtime, path.name, about.st_size))
        except OSError as error:
            raise OutputUnwritable(
                f"{self._folder} cannot be read ({error.strerror}); "
                "check its permissions, or choose another --output"
            ) from error
        known: dict[str, dict[str, int]] = {}
        for _, name, size_bytes in sorted(found):
            known.setdefault(name.partition(".")[0], {})[f"{SNAPSHOTS}/{name}"] = size_bytes
        return known

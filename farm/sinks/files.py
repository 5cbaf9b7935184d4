"""Files that records name: written completely or not at all, and durable before their record.

A file is written as a draft in a folder of its own and renamed; drafts that a crash leaves are removed at the next
start. A page that is visited again has the same file names, so that a repetition is harmless.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from farm.model.errors import OutputUnwritable
from farm.resources.files import sync_folder, write_atomically

DRAFTS = "drafts"


class Files:
    """The files under `folder`; drafts are in `private`, on the same disk. One thread at a time may use it."""

    def __init__(self, folder: Path, private: Path) -> None:
        self._folder = folder
        self._drafts = private / DRAFTS
        self._number = 0
        self.written_bytes = 0
        """How many bytes were written since the start."""
        shutil.rmtree(self._drafts, ignore_errors=True)

    def write(self, path: str, content: bytes) -> None:
        """Write a file durably. Raises `OutputUnwritable` and then leaves no part of it."""
        target = self._folder / path
        self._number += 1
        draft = self._drafts / str(self._number)
        try:
            for folder in (self._drafts, target.parent):
                if folder.is_symlink():
                    raise NotADirectoryError(errno.ENOTDIR, "its folder is a link")
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
                    sync_folder(folder.parent)
            write_atomically(target, content, draft)
            self.written_bytes += len(content)
        except OSError as error:
            raise OutputUnwritable(
                f"{target} cannot be written ({error.strerror}); "
                "free some space and check its permissions, or choose another --output"
            ) from error

    def remove(self, path: str, size_bytes: int) -> None:
        """Remove a file of this size, if it is there and can be removed."""
        with contextlib.suppress(OSError):
            (self._folder / path).unlink()
            self.written_bytes -= size_bytes


def clear(folder: Path, names: Iterable[str]) -> None:
    """Remove the folders of a crawl that is started anew. Raises `OutputUnwritable`."""
    for name in names:
        try:
            shutil.rmtree(folder / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputUnwritable(
                f"{folder / name} cannot be removed ({error.strerror}); "
                "check its permissions, or choose another --output."
            ) from None

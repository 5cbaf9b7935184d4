"""One live run per output folder: a lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from pathlib import Path
from typing import IO

from farm.model.errors import OutputUnwritable, UsageError
from farm.resources.files import opened, own_folder


class FolderLock:
    """Held from `take` to `release`; the file stays, and says who held it last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock, making its folder where needed.

        Raises UsageError when another run holds it or the folder is somebody else's, OutputUnwritable when the
        folder cannot be written to.
        """
        try:
            own_folder(self._path.parent)
            file = os.fdopen(opened(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+", encoding="ascii")
        except OSError as error:
            raise OutputUnwritable(
                f"{self._path.parent.parent} cannot be written to ({error.strerror}); "
                "see to its permissions, or choose another --output."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise UsageError(
                f"{self._path.parent.parent} is in use by the run with process id {holder}; "
                "wait for it, stop it, or choose another --output."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock up; harmless when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None

"""Files and folders: opened without following a link, trusted only if ours, written whole, locked, counted."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from farm.model.errors import OutputUnwritable, UsageError

OTHERS = 0o077


def opened(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of the file itself.

    Raises OSError, also if the path is a link, or is to be written and belongs to another user, who could read
    what is written to it.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    if flags & (os.O_WRONLY | os.O_RDWR) and os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it belongs to another user")
    return descriptor


def create_anew(path: Path, mode: int = 0o666) -> int:
    """Return a descriptor of a new file, which replaces an existing one; raises OSError."""
    path.unlink(missing_ok=True)
    return opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def read_own(path: Path, most_bytes: int) -> bytes:
    """Return the beginning of a file that belongs to this user.

    Raises OSError if it cannot be read or is a link, and UsageError if it belongs to somebody else.
    """
    with os.fdopen(opened(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_uid != os.geteuid():
            raise UsageError(
                f"{path} belongs to another user and is not trusted; run the command as that user, or choose "
                "another --output."
            )
        return file.read(most_bytes) if stat.S_ISREG(about.st_mode) else b""


def own_folder(path: Path) -> None:
    """Make a folder that this user alone may enter, or see that it is one.

    Raises OSError if it cannot be made, and UsageError if it is a link or belongs to somebody else.
    """
    path.mkdir(parents=True, exist_ok=True)
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode) or about.st_uid != os.geteuid():
        what = "is a link" if stat.S_ISLNK(about.st_mode) else "belongs to another user"
        raise UsageError(f"{path} {what} and is not trusted; choose another --output.")
    if about.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(about.st_mode) & ~OTHERS)


def umask_of(mode: int) -> int:
    """Return the mask by which new files get this mode, and new folders the same with leave to enter them."""
    return 0o777 & ~(mode | (mode & 0o444) >> 2)


def write_atomically(path: Path, content: bytes, draft: Path | None = None) -> None:
    """Replace the file at `path`: readers, also after a crash, find the old content or the new, never a part.

    The content is written to `draft` (on the same disk; by default a hidden name beside `path`), synced, renamed,
    and is on the disk when this returns. Raises OSError, and leaves no draft then.
    """
    draft = draft or path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(create_anew(draft), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


@contextlib.contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Open a file that is at `path` when the context ends, whole and on the disk; after an error it never is.

    Meanwhile it is `.NAME.draft` beside it; what a kill has left of that is overwritten by the next one. Raises
    FileExistsError where the path is taken and is not to be replaced, BlockingIOError where another process is
    writing it, OSError.
    """
    draft = _draft_of(path, replace=replace)
    with os.fdopen(opened(draft, os.O_RDWR | os.O_CREAT), "r+b") as file:
        _lock_draft(file.fileno(), draft)
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _put_in_place(draft, path, replace=replace)
        except BaseException:
            # Whatever ends the writer, a Ctrl-C too: half a file must not stay beside the place of the whole one.
            with contextlib.suppress(OSError):
                draft.unlink()
            raise


@contextlib.contextmanager
def whole_folder(path: Path, suffix: str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder for files, which is at `path` when the context ends without an error.

    An existing folder is replaced at the end if it is empty, or with `replace` if it has only files that end in
    `suffix`. If `path` is a link, its target is replaced. The caller syncs the files. Raises like `whole_file`.
    """
    path = path.resolve() if path.is_dir() else path
    if path.is_mount():
        raise OSError(errno.EBUSY, "a disk is mounted there")
    may_replace = path.is_dir() and _has_only(path, suffix if replace else None)
    draft = _draft_of(path, replace=may_replace)
    draft.mkdir(exist_ok=True)
    descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _lock_draft(descriptor, draft)
        for left in draft.iterdir():
            left.unlink()
        try:
            yield draft
            os.fsync(descriptor)
            if may_replace and path.is_dir() and _has_only(path, suffix if replace else None):
                _replace_folder(draft, path)
            else:
                _put_in_place(draft, path, replace=False)
        except BaseException:  # as for a file
            shutil.rmtree(draft, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _has_only(folder: Path, suffix: str | None) -> bool:
    """Return whether a folder has only files that end in the suffix; with None, whether it is empty."""
    return all(suffix is not None and one.is_file() and one.name.endswith(suffix) for one in folder.iterdir())


def _replace_folder(draft: Path, path: Path) -> None:
    """Replace a folder by a draft; it is moved aside first, so that a kill never leaves a part of either."""
    aside = path.with_name(f".{path.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    try:
        _put_in_place(draft, path, replace=False)
    except OSError:
        with contextlib.suppress(OSError):
            aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _draft_of(path: Path, *, replace: bool) -> Path:
    if os.path.lexists(path) and not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return path.with_name(f".{path.name}.draft")


def _lock_draft(descriptor: int, draft: Path) -> None:
    """Lock a draft for writing. Raises BlockingIOError if another process holds the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not os.path.samestat(draft.lstat(), os.fstat(descriptor)):
        # Another process had it, and has put it in its place.
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(draft))


def _put_in_place(draft: Path, path: Path, *, replace: bool) -> None:
    _draft_of(path, replace=replace)
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder: a new or renamed file is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_bytes(folder: Path, without: Collection[str] = ()) -> int:
    """Return the bytes of all files below a folder, without following links; `without` are names at its top.

    Files that disappear or cannot be read count as nothing. Blocking: call it in a thread.
    """
    total = 0
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if place == folder and entry.name in without:
                        continue
                    try:
                        about = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISDIR(about.st_mode):
                        waiting.append(place / entry.name)
                    else:
                        total += about.st_size
        except OSError:
            continue
    return total


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file; False if the system does not tell.

    It reads the kernel's list of locks: trying to take the lock would disturb a run that starts.
    """
    try:
        inode, locks = path.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    # Without the device, which some file systems give otherwise than the kernel lists it.
    return any(f":{inode} " in line for line in locks.splitlines())


class FolderLock:
    """A lock for one live run per output folder, which the kernel releases when its holder dies.

    Held from `take` to `release`; the file stays, and names its last holder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self.holder = ""
        """The process id of who had the lock when it was tried last and could not be taken."""

    def take(self) -> None:
        """Take the lock, making its folder where needed.

        Raises UsageError if another run holds it or the folder is another user's, OutputUnwritable if the
        folder cannot be written to.
        """
        if not self.try_take():
            raise UsageError(
                f"{self._path.parent.parent} is in use by the run with process id {self.holder}; "
                "wait for it, stop it, or choose another --output."
            )

    def try_take(self) -> bool:
        """Take the lock as `take` does; return False if another run holds it."""
        try:
            own_folder(self._path.parent)
            file = os.fdopen(opened(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+", encoding="ascii")
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            self.holder = file.read().strip() or "unknown"
            file.close()
            return False
        except OSError as error:
            # A file system of another machine may have no locks.
            file.close()
            raise self._unwritable(error) from None
        try:
            file.truncate(0)
            # Past the file's buffer: what a full disk refuses would be tried again when it is closed.
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        except OSError as error:
            file.close()
            raise self._unwritable(error) from None
        self._file = file
        return True

    def _unwritable(self, error: OSError) -> OutputUnwritable:
        return OutputUnwritable(
            f"{self._path.parent.parent} cannot be written to ({error.strerror}); "
            "free some space, check its permissions, or choose another --output."
        )

    def release(self) -> None:
        """Release the lock; harmless if it is not held."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


class OutputSize:
    """Measures the bytes of an output folder, in a thread.

    `folders` in it get up to three files a page: they are measured once, and then updated by `written`, which
    returns how many bytes this run has written to them.
    """

    def __init__(self, output: Path, folders: Collection[str], written: Callable[[], int]) -> None:
        self._output = output
        self._folders = folders
        self._written = written
        self._before: int | None = None

    def __call__(self) -> int:
        """Return the bytes now; blocks for as long as the disk takes."""
        if self._before is None:
            there = sum(folder_bytes(self._output / name) for name in self._folders)
            self._before = there - self._written()
        return folder_bytes(self._output, self._folders) + self._before + self._written()

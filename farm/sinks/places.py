"""Where segments are kept: a folder of this machine; `object_store` has the other place.

Invariants: a segment is there whole or not at all.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from farm.resources.files import sync_folder

DRAFT_SUFFIX = ".open"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_PART = re.compile(r"\.?(part-[A-Za-z0-9._-]{1,200}-)([0-9]{6,18})(\.[a-z.]{1,20})")


class SegmentPlace(Protocol):
    """Where finished segments are kept. Used in one thread at a time."""

    resumes_log: bool
    """Whether the log of a killed run is gone on with. Else it becomes a segment first: an upload of it that is
    still under way must bring the same."""
    most_bytes: int
    """Of a log, where its format allows more."""
    most_age_s: float
    """How old a record may be when its log becomes a segment, however small that is."""
    is_far: bool
    """Whether a segment takes long to get there: then the next log takes records meanwhile."""
    has_own_names: bool
    """Whether no other output folder's files there have this node's stem."""

    def stem(self, node: str) -> str:
        """Return how the names of a node's segments begin, `part-NODE-`. Raises OSError."""
        ...

    def names(self, stem: str) -> Iterable[str]:
        """Return the names of what is there, those with this stem at least.

        Raises OSError, `OutputUnwritable` and its `StoreAway`; UsageError if it can never be written to.
        """
        ...

    def publish(self, draft: Path, name: str) -> None:
        """Put a synced draft there, whole or not at all, and remove it here. A name may have a folder before it.

        Raises OSError, or `OutputUnwritable` and its `StoreAway`.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a segment, if it is there. Raises OSError or `OutputUnwritable`."""
        ...

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Return the segment as a file, as long as the context is open. Raises as `publish`."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class LocalPlace:
    """A folder of this machine, in which the drafts are too."""

    resumes_log = True
    most_bytes = 1 << 62
    most_age_s = math.inf
    is_far = False
    has_own_names = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stem(self, node: str) -> str:
        """Return the node's own stem."""
        return stem_of(node)

    def names(self, stem: str) -> Iterable[str]:  # noqa: ARG002
        """Return the names of what is there."""
        return os.listdir(self._folder)  # noqa: PTH208 - names, not paths

    def publish(self, draft: Path, name: str) -> None:
        """Rename the draft; durable when this returns."""
        target = self._folder / name
        if not target.parent.exists():
            target.parent.mkdir()
            sync_folder(self._folder)
        draft.replace(target)
        sync_folder(target.parent)

    def remove(self, name: str) -> None:
        """Remove a segment."""
        (self._folder / name).unlink(missing_ok=True)

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Return where it is."""
        return contextlib.nullcontext(self._folder / name)

    def close(self) -> None:
        """Do nothing."""


def stem_of(*words: str) -> str:
    """Return how the names of segments begin, of words that may have any character."""
    return "-".join(["part", *(_NOT_IN_NAMES.sub("_", word) for word in words), ""])


def names_of_stem(names: Iterable[str], stem: str, suffix: str) -> Iterator[tuple[int, str]]:
    """Yield number and name of the files of a stem that end so."""
    for name in names:
        found = _PART.fullmatch(name)
        if found and found[1] == stem and found[3] == suffix:
            yield int(found[2]), name


def files_of_stem(folder: Path, stem: str, suffix: str) -> dict[int, Path]:
    """Return these files in a folder by their numbers; none where there is no folder. Raises OSError."""
    return {number: folder / name for number, name in names_of_stem(_names_in(folder), stem, suffix)}


def stems_in(folder: Path, suffix: str) -> set[str]:
    """Return the stems of the files in a folder that end so. Raises OSError."""
    found = map(_PART.fullmatch, _names_in(folder))
    return {one[1] for one in found if one and one[3] == suffix}


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names, not paths
    except FileNotFoundError:
        return []


def sidecar_folder(private: Path, name: str) -> Path:
    """Return the folder of what belongs to the sink of this name."""
    return private / f"sink-{blake2b(name.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"

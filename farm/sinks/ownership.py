"""Which files at a place are an output folder's own, and the ids in them.

In a folder of this machine another output folder's run may have written under the same node name. A folder has a
sidecar for each log that it began, with the ids and where each line ended. Of segments that others wrote it has a
sidecar too, once it has read their ids: there the ends are the numbers of the records, from `_FIRST_READ` on.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path

from farm.sinks.log_index import LogIndex

log = logging.getLogger("farm.sinks")
OTHERS_INDEX = ".others.index"
"""The suffix of the sidecar of another output folder's log, while a segment is made of it."""
_FIRST_READ = 1
"""The end of the first record in a sidecar that was read back from a segment; no line is so short."""
_NO_END = 1 << 62

Local = AbstractContextManager[Path]
"""Gives a segment as a file."""
Ids = Callable[[Path], Iterable[bytes]]
"""Returns the ids in a segment. Raises ValueError where it is none of the farm's."""


def own_numbers(
    what: str,
    logs: AbstractSet[int],
    segments: AbstractSet[int],
    sidecars: Mapping[int, Path],
    local: Callable[[int], Local],
    ids: Ids,
) -> set[int]:
    """Return the numbers of the logs and segments that this output folder has written; warn of others of `what`.

    Not those of a segment whose sidecar is lost or was read back, that stands where an earlier one was moved away,
    or whose ids cannot be read. Raises OSError.
    """
    own = {number for number in logs - segments if number in sidecars}
    for number in segments & sidecars.keys():
        if _is_own(sidecars[number], local(number), ids):
            own.add(number)
    if left := len((logs | segments) - own):
        log.warning("%d files of %s were not written from this output folder, and stay there", left, what)
    return own


def _is_own(sidecar: Path, local: Local, ids: Ids) -> bool:
    index = LogIndex(sidecar)
    try:
        key, end = next(index.entries(), (b"", _FIRST_READ))
        if end == _FIRST_READ:
            return False
        with local as segment:
            return next(iter(ids(segment)), b"") == key
    except ValueError:
        return False
    finally:
        index.close()


def known_ids(sidecar: Path, local: Local | None, ids: Ids) -> Iterator[bytes]:
    """Yield the ids of a finished segment by its sidecar, or by the segment itself, for the next time too.

    `local` is None where the segment was moved away. Raises OSError, and ValueError if no farm wrote it.
    """
    index = LogIndex(sidecar)
    try:
        index.cut_to(_NO_END)
        if not index.length and local is not None:
            with local as segment:
                index.append((key, end) for end, key in enumerate(ids(segment), _FIRST_READ))
        yield from index
    finally:
        index.close()

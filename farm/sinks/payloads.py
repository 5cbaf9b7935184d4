"""The payloads that the WARC records of an output folder have, so that an equal one need not be written again.

What always holds: a payload is known only once the record that has it is on the disk. The latest are known, over
all runs: a file beside the sidecars has them, which is never synced, since what a crash takes from it is only
written in full again.
"""

import logging
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.resources.files import opened, read_own, write_atomically
from farm.sinks.log_index import write_all
from farm.sinks.places import DRAFT_SUFFIX

log = logging.getLogger("farm.sinks")
LEAST_BYTES = 512
"""Of a payload: what says that a smaller one is there already is hardly smaller."""
MOST = 20_000
MOST_BYTES = 8 * 2**20
"""Of the lines of what is known."""
_NAME = "payloads"
_LINE = re.compile(r"(sha1:[A-Z2-7]{32}) (\S{1,40}) (\S{1,80}) (\S+)")


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload by its digest, and the WARC record that has it: its date, id and address."""

    digest: str
    date: str
    record_id: str
    uri: str

    @property
    def line(self) -> str:
        """Return it as a line of the file."""
        return f"{self.digest} {self.date} {self.record_id} {self.uri}\n"


class WarcEntry(bytes):
    """The WARC records of a page, and the payloads that they have."""

    payloads: Sequence[Payload] = ()


class KnownPayloads:
    """The latest payloads, those that came again last; used in the writer's thread alone.

    At most `MOST` and `MOST_BYTES` are known; one that is forgotten is written again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Payload] = OrderedDict()
        self._known_bytes = self._file_bytes = 0
        self._path = Path()
        self._fd: int | None = None
        self._is_told = False

    def find(self, digest: str) -> Payload | None:
        """Return the payload with this digest, if it is known."""
        found = self._known.get(digest)
        if found is not None:
            self._known.move_to_end(digest)
        return found

    def open(self, folder: Path) -> None:
        """Learn what earlier runs have left in the folder. Raises OSError, and UsageError for another user's."""
        self.close()
        self._known.clear()
        self._known_bytes = 0
        self._path = folder / _NAME
        content = b""
        with suppress(FileNotFoundError):
            content = read_own(self._path, 4 * MOST_BYTES)
        # A line that a kill has torn is none.
        for line in content.decode("utf-8", "replace").split("\n")[:-1]:
            if found := _LINE.fullmatch(line):
                self._take(Payload(found[1], found[2], found[3], found[4]))
        self._write_anew()

    def confirm(self, entries: Iterable[bytes]) -> None:
        """Know the payloads of entries that are on the disk. Raises OSError."""
        fresh = [one for entry in entries if isinstance(entry, WarcEntry) for one in entry.payloads]
        if not fresh or self._fd is None:
            return
        for one in fresh:
            self._take(one)
        lines = "".join(one.line for one in fresh).encode("utf-8", "replace")
        self._file_bytes += len(lines)
        if self._file_bytes > 2 * MOST_BYTES:
            self._write_anew()
        else:
            write_all(self._fd, lines)

    def clear(self, folder: Path) -> None:
        """Forget what is known in the folder. Raises OSError."""
        (folder / _NAME).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        descriptor, self._fd = self._fd, None
        if descriptor is not None:
            os.close(descriptor)

    def _take(self, payload: Payload) -> None:
        former = self._known.pop(payload.digest, None)
        self._known[payload.digest] = payload
        self._known_bytes += len(payload.line) - (len(former.line) if former is not None else 0)
        while len(self._known) > MOST or self._known_bytes > MOST_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._known_bytes -= len(oldest.line)
            if not self._is_told:
                self._is_told = True
                log.info(
                    "%d payloads, or %d MiB of their addresses, are as many as are known: the oldest are written "
                    "in full when they come again",
                    MOST,
                    MOST_BYTES // 2**20,
                )

    def _write_anew(self) -> None:
        """Write the file with what is known, and open it for more."""
        self.close()
        content = "".join(one.line for one in self._known.values()).encode("utf-8", "replace")
        # By one name, so that drafts of killed runs do not gather.
        write_atomically(self._path, content, self._path.with_name(f".{_NAME}{DRAFT_SUFFIX}"))
        self._fd = opened(self._path, os.O_WRONLY | os.O_APPEND)
        self._file_bytes = len(content)

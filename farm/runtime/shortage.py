"""What runs short besides memory: file descriptors, and room for what the browsers write.

Each is told once, when it gets short, and again only after it had recovered. The extremes are for the summary.
"""

from collections.abc import Mapping

from farm.model.event import Emit, Notice
from farm.model.memory import MemoryReading

MIB = 2**20
FILES_SHARE = 0.8
RECOVERED = 1.25


class ResourceWatch:
    """Looks at each reading.

    `files` is how many descriptors the process may have, 0 where that is unknown; `wanted` is how many bytes a
    folder must have free.
    """

    def __init__(self, files: int, wanted: Mapping[str, int], emit: Emit) -> None:
        self._files = files
        self._wanted = wanted
        self._emit = emit
        self._short: set[str] = set()
        self.peak_files = 0
        self.least_free: dict[str, int] = {}

    def look(self, reading: MemoryReading, now: float) -> None:
        """Follow one reading, and tell what has run short."""
        self.peak_files = max(self.peak_files, reading.fds)
        if self._files:
            short_by = reading.fds / (FILES_SHARE * self._files)
            text = f"{reading.fds} of {self._files} files are open; allow more with `ulimit -n`."
            self._judge("files", short_by, text, now)
        for folder, free in reading.free_bytes.items():
            self.least_free[folder] = min(free, self.least_free.get(folder, free))
            text = f"Only {free // MIB:,} MiB are free in {folder}; make room there."
            self._judge(folder, self._wanted.get(folder, 0) / max(1, free), text, now)

    def summary(self) -> Mapping[str, object]:
        """Return the extremes: the most files that were open, and the least room that there was."""
        return {
            "files_open": self.peak_files,
            "files_allowed": self._files,
            "least_free_bytes": dict(self.least_free),
        }

    def _judge(self, what: str, short_by: float, text: str, now: float) -> None:
        if short_by >= 1.0 and what not in self._short:
            self._short.add(what)
            self._emit(Notice(now, "warning", text))
        elif short_by * RECOVERED < 1.0:
            self._short.discard(what)

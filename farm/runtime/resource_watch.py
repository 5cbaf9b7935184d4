"""What the readings of the governor show over time: what runs short, and what each measure gave back."""

from collections.abc import Mapping
from dataclasses import dataclass

from farm.model.event import Emit, Notice, Reclaimed
from farm.model.memory import Measure, MemoryReading, ReclaimAction

MIB = 2**20
FILES_SHARE = 0.8
RECOVERED = 1.25


class ResourceWatch:
    """Warns of what runs short besides memory: file descriptors, and space for what the browsers write.

    Each is reported once when it runs short, and again only after it had recovered.

    `files` is how many descriptors the process may open, 0 where that is unknown; `wanted` is how many bytes must
    be free by folder. The extremes are for the summary.
    """

    def __init__(self, files: int, wanted: Mapping[str, int], emit: Emit) -> None:
        self._files = files
        self._wanted = wanted
        self._emit = emit
        self._short: set[str] = set()
        self.peak_files = 0
        self.least_free: dict[str, int] = {}

    def observe(self, reading: MemoryReading, now: float) -> None:
        """Take one reading, and report what has run short."""
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
        """Return the extremes: the most open files, and the least free bytes by folder."""
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


OBSERVE_S = {
    Measure.COLLECT: 1.0,
    Measure.RECYCLE: 10.0,
    Measure.SHED: 3.0,
    Measure.ENGINE: 60.0,
    Measure.KILL: 1.0,
}
"""When at the latest; a target that is gone earlier is reported earlier."""


@dataclass(frozen=True, slots=True)
class _Entry:
    action: ReclaimAction
    at: float
    before_bytes: int


class ReclaimTracker:
    """Follows every action and every reading; emits one `Reclaimed` for each action."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._open: list[_Entry] = []

    def record(self, action: ReclaimAction, reading: MemoryReading, now: float) -> None:
        """Note an action that was taken after this reading."""
        self._open.append(_Entry(action, now, _held(action, reading) or 0))

    def observe(self, reading: MemoryReading, now: float) -> None:
        """Emit what the measures freed whose effect has had time to show."""
        kept = []
        for entry in self._open:
            held = _held(entry.action, reading)
            if held is not None and now - entry.at < OBSERVE_S[entry.action.measure]:
                kept.append(entry)
                continue
            freed = max(0, entry.before_bytes - (held or 0))
            action = entry.action
            self._emit(Reclaimed(now, str(action.measure), action.target, action.reason, freed))
        self._open = kept


def _held(action: ReclaimAction, reading: MemoryReading) -> int | None:
    """Return the bytes that the target of the action holds; None when it is gone."""
    match action.measure:
        case Measure.SHED:
            return reading.used_bytes
        case Measure.ENGINE:
            return reading.engines.get(action.target)
        case _:
            return next((one.used_bytes for one in reading.renderers if one.pid == action.pid), None)

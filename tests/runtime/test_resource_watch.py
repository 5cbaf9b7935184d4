"""What runs short besides memory is reported once each time, and its extremes are kept."""

from farm.model.event import Event, Notice
from farm.model.memory import MemoryReading
from farm.runtime.resource_watch import MIB, ResourceWatch


def reading(fds: int = 0, **free_mib: int) -> MemoryReading:
    """Return a reading with so many files open, and so much room in each folder."""
    return MemoryReading(0, 1, fds=fds, free_bytes={name: mib * MIB for name, mib in free_mib.items()})


def texts(events: list[Event]) -> list[str]:
    """Return the texts of the notices, all of them warnings."""
    assert all(isinstance(event, Notice) and event.level == "warning" for event in events)
    return [event.text for event in events if isinstance(event, Notice)]


def test_files_that_run_short_are_told_once_until_they_recover() -> None:
    """At four fifths of what is allowed; a little less is no recovery."""
    events: list[Event] = []
    watch = ResourceWatch(100, {}, events.append)
    for number, fds in enumerate((79, 80, 95, 79, 80, 60, 81)):
        watch.observe(reading(fds), float(number))
    assert texts(events) == [f"{fds} of 100 files are open; allow more with `ulimit -n`." for fds in (80, 81)]
    assert watch.summary()["files_open"] == 95


def test_room_that_runs_short_is_told_by_its_folder() -> None:
    """Each folder for itself; the least that there was is kept."""
    events: list[Event] = []
    watch = ResourceWatch(0, {"tmp": 256 * MIB, "shm": 8 * MIB}, events.append)
    for number, free_mib in enumerate((4000, 256, 100, 300, 340, 200)):
        watch.observe(reading(tmp=free_mib, shm=64), float(number))
    assert texts(events) == [f"Only {free} MiB are free in tmp; make room there." for free in (256, 200)]
    assert watch.summary()["least_free_bytes"] == {"tmp": 100 * MIB, "shm": 64 * MIB}

"""Start a subject and sample its whole process tree: CPU a few times a second, memory once.

CPU is read with what each process has inherited from the children it waited for, and the tree hangs below a
reaper that inherits from all orphans: the sum over the tree at any moment is what the subject has used so far,
including processes that started and ended between two samples.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REAPER = Path(__file__).with_name("reaper.py")
CPU_EVERY_S = 0.2
MEMORY_EVERY = 5
"""Reading memory walks page tables, so it is read at every fifth sample only."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Turns:
    """What the main threads of processes have done: how often they ran, for how long, and the waits for a core."""

    number: int = 0
    ran_s: float = 0.0
    waited_s: float = 0.0

    def __add__(self, other: "Turns") -> "Turns":
        return Turns(self.number + other.number, self.ran_s + other.ran_s, self.waited_s + other.waited_s)

    def __sub__(self, other: "Turns") -> "Turns":
        return Turns(self.number - other.number, self.ran_s - other.ran_s, self.waited_s - other.waited_s)

    @property
    def ran_ms(self) -> float:
        """The mean time of a turn, in milliseconds."""
        return 1000 * self.ran_s / max(1, self.number)

    @property
    def waited_ms(self) -> float:
        """The mean wait for a core before a turn, in milliseconds."""
        return 1000 * self.waited_s / max(1, self.number)


@dataclass
class Watched:
    """The measurements: CPU over time, peak memory, CPU by kind of process (at the last sample), and turns."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    peak_pss_mib: float = 0.0
    names: dict[int, str] = field(default_factory=dict)
    history: list[tuple[float, dict[int, float]]] = field(default_factory=list)
    turns: list[tuple[float, dict[int, Turns]]] = field(default_factory=list)

    def cpu_s(self, since: float, until: float) -> float:
        """Return the CPU seconds between two moments of the monotonic clock."""
        return self._at(until) - self._at(since)

    def _at(self, moment: float) -> float:
        before = (0.0, 0.0)
        for sample in self.samples:
            if sample[0] >= moment:
                span = sample[0] - before[0]
                share = (moment - before[0]) / span if span > 0 else 1.0
                return before[1] + (sample[1] - before[1]) * share
            before = sample
        return before[1]

    def cpu_by_kind(self, since: float, until: float) -> dict[str, float]:
        """Return the CPU seconds between two moments by kind of process."""
        kinds: dict[str, float] = defaultdict(float)
        used: dict[int, list[float]] = defaultdict(list)
        for moment, each in self.history:
            if since - CPU_EVERY_S <= moment <= until + CPU_EVERY_S:
                for pid, seconds in each.items():
                    used[pid].append(seconds)
        started_before = next((each for moment, each in self.history if moment >= since), {})
        for pid, course in used.items():
            # A process that was not there before the window counts from nought.
            kinds[self.names.get(pid, "other")] += course[-1] - (course[0] if pid in started_before else 0.0)
        return dict(kinds)

    def turns_of(self, kind: str, since: float, until: float) -> list[Turns]:
        """Return the turns of each process of a kind between two moments, those that ran longest first.

        Only Linux counts them: elsewhere there are none.
        """
        within = [each for moment, each in self.turns if since <= moment <= until]
        if not within:
            return []
        first, last = within[0], within[-1]
        of_kind = [pid for pid in last if self.names.get(pid) == kind]
        found = [last[pid] - first.get(pid, Turns()) for pid in of_kind]
        return sorted(found, key=lambda one: one.ran_s, reverse=True)


class Watch:
    """Samples the tree below a process from a thread of its own until told to stop."""

    def __init__(self, pid: int, *, memory: bool = True) -> None:
        self.seen = Watched()
        self._root = psutil.Process(pid)
        self._memory = memory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> Watched:
        """Stop, and return the measurements."""
        self._stop.set()
        self._thread.join()
        return self.seen

    def _run(self) -> None:
        count = 0
        while not self._stop.is_set():
            with contextlib.suppress(psutil.NoSuchProcess):
                self._sample(with_memory=self._memory and count % MEMORY_EVERY == 0)
            count += 1
            self._stop.wait(CPU_EVERY_S)

    def _sample(self, *, with_memory: bool) -> None:
        moment, total, pss = time.monotonic(), 0.0, 0.0
        each: dict[int, float] = {}
        turns: dict[int, Turns] = {}
        for process in (self._root, *self._root.children(recursive=True)):
            try:
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
                each[process.pid] = times.user + times.system
                # Asked again each time: a process may become another program, and forks say late what they are.
                self.seen.names[process.pid] = kind_of(process) or self.seen.names.get(process.pid, "other")
                if self.seen.names[process.pid] == "python" and (counted := turns_so_far(process.pid)):
                    turns[process.pid] = counted
                if with_memory:
                    pss += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        # A tree that is read while a process moves to another parent may be short by one: CPU never falls.
        if self.seen.samples:
            total = max(total, self.seen.samples[-1][1])
        self.seen.samples.append((moment, total))
        self.seen.history.append((moment, each))
        self.seen.turns.append((moment, turns))
        self.seen.peak_pss_mib = max(self.seen.peak_pss_mib, pss / MIB)


def turns_so_far(pid: int) -> Turns | None:
    """Return what the main thread of a process has done since its start; None if it ended, or not on Linux."""
    try:
        ran_ns, waited_ns, number = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    except OSError:
        return None
    return Turns(number, ran_ns / 1e9, waited_ns / 1e9)


def kind_of(process: psutil.Process) -> str:
    """Return the kind of a process by its command line; "" if it has none (any more)."""
    line = process.cmdline()
    if not line:
        return ""
    flags = {flag.partition("=")[0]: flag.partition("=")[2] for flag in line if flag.startswith("--")}
    kind = flags.get("--type")
    if kind == "utility":
        return "network" if "NetworkService" in flags.get("--utility-sub-type", "") else "utility"
    if kind is not None:
        return {"gpu-process": "gpu"}.get(kind, kind)
    name = Path(line[0]).name
    if str(REAPER) in line:
        return "bench"
    for start in ("python", "node", "redis"):
        if name.startswith(start):
            return start
    return "browser" if "--headless" in flags or "chrom" in name or "headless" in name else "other"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a subject ended, and its measurements."""

    code: int | None
    wall_s: float
    watched: Watched
    output: str


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    patience_s: float,
    *,
    memory: bool = True,
) -> Ended:
    """Run a subject to its end, or for `patience_s`; `code` is None if it had to be killed."""
    log = folder / "output.log"
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-IS", str(REAPER), *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watch = Watch(process.pid, memory=memory)
        code: int | None
        try:
            code = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            code = None
            process.terminate()
            process.wait()
        except BaseException:
            # Also at a Ctrl-C: the subject would run on, and disturb the next measurement.
            process.terminate()
            raise
        watched = watch.stop()
    return Ended(code, time.monotonic() - begun, watched, log.read_text(errors="replace"))

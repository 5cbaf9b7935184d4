"""A program that is killed by SIGKILL at each step of its own, in turn, and what it has confirmed by then.

A step is a file that is opened, renamed or removed, or a sync: between two of them nothing reaches the names in a
folder. The first child is killed at step 1, the next one in a folder of its own at step 2, until one reaches its
end. Each is followed by one that repeats everything and is not killed, by the same node name or another. Nothing
is really synced: a kill takes nothing from the system's cache.
"""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from farm.model.record import Batch
from farm.sinks import append_log, parquet, warc
from farm.sinks.address import check_sinks, parse_sink, store_of
from farm.sinks.store import Store
from tests.sinks.killed import record
from tests.tree import ROOT

ROWS, RECORDS, MOST_STEPS = 2, 3, 300
_STEPS = {"open", "os.rename", "os.remove", "os.truncate"}


def killed_at_each_step(folder: Path, kind: str, then: str = "n1") -> list[tuple[Path, set[str]]]:
    """Return the sink's folder and the confirmed ids of each child, the last of which was not killed."""
    command = [sys.executable, "-m", "tests.sinks.killed_at", str(folder), kind, then]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    children = sorted(folder.iterdir(), key=lambda path: int(path.name))
    return [(child / "sink", set((child / "confirmed").read_text().split())) for child in children]


def _store(child: Path, kind: str, node: str = "n1") -> Store[Any]:
    (child / "private").mkdir(parents=True, exist_ok=True)
    return store_of(parse_sink(f"{kind}:{child / 'sink'}"), child, child / "private", node)


def _write(store: Store[Any], confirm: Callable[[str], None]) -> None:
    store.open()
    for number in range(RECORDS):
        one = record(number, text="x" * 2000)
        store.write([store.encode(Batch([one]))[0]])
        confirm(one.id)
    store.close()


def _kill_at(step: int) -> None:
    """Kill this process at the step with this number, never if it is 0."""
    left = itertools.count(step, -1)

    def passed() -> None:
        if next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STEPS and "/sink" in str(arguments[0]):
            passed()

    os.fsync = append_log._sync = lambda fd: passed()  # noqa: ARG005 - the name that os.fsync has
    sys.addaudithook(hook)


def _run(step: int, store: Store[Any], confirm: Callable[[str], None]) -> None:
    _kill_at(step)
    _write(store, confirm)


def _in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _main(folder: Path, kind: str, then: str) -> None:
    check_sinks([parse_sink(f"{kind}:x")])
    parquet.ParquetFormat.most_rows = warc.WarcFormat.most_rows = ROWS
    for step in range(1, MOST_STEPS):
        child = folder / str(step)
        store = _store(child, kind)
        confirmed = os.open(child / "confirmed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def confirm(id_: str, to: int = confirmed) -> None:
            os.write(to, f"{id_}\n".encode())

        code = _in_child(partial(_run, step, store, confirm))
        again = _in_child(partial(_run, 0, _store(child, kind, then), lambda _: None))
        os.close(confirmed)
        if again != 0 or code not in {0, -signal.SIGKILL}:
            raise AssertionError(f"step {step} has ended with {code}, and then {again}")
        if code == 0:
            return
    raise AssertionError("the last step was never reached")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])

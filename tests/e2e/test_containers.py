"""What a container does to a farm: the kernel kills for memory, the volume is full, the farm is process 1.

Nothing is lost, and each page is there once. These tests make cgroups, mounts and namespaces, which takes root.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from farm.model.memory import MIB
from fixtures.shop import Shop
from tests.e2e.farm_process import Finished, Running, crawl, crawl_flags, seen_pages, start, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups, mounts and namespaces take root"),
]
LIMIT_BYTES = 1200 * MIB
STEP_BYTES = 64 * MIB
HOG = f"""
import sys
held = []
for _ in sys.stdin:
    held.append(bytearray(b"x" * {STEP_BYTES}))
    print(len(held), flush=True)
"""


class Cgroup:
    """A group of processes with a limit of memory, of version 1 or 2."""

    def __init__(self, name: str) -> None:
        first = Path("/sys/fs/cgroup/memory")
        self._is_first = first.is_dir()
        self.folder = (first if self._is_first else Path("/sys/fs/cgroup")) / name
        self.folder.mkdir()
        limit = "memory.limit_in_bytes" if self._is_first else "memory.max"
        if not (self.folder / limit).exists():
            self.folder.rmdir()
            pytest.skip("no cgroup can be given a limit of memory here")
        (self.folder / limit).write_text(str(LIMIT_BYTES))

    @property
    def entry(self) -> tuple[str, ...]:
        """What runs a command in it."""
        return ("sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "entry")

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""
        told = (
            (self.folder / ("memory.oom_control" if self._is_first else "memory.events")).read_text().split()
        )
        return int(told[told.index("oom_kill") + 1])

    def remove(self) -> None:
        """End what is left in it, and remove it."""

        def is_gone() -> bool:
            for pid in (self.folder / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with suppress(OSError):
                self.folder.rmdir()
            return not self.folder.exists()

        until(is_gone, "an empty cgroup", 20)


@pytest.fixture
def group() -> Iterator[Cgroup]:
    """Make a cgroup."""
    made = Cgroup(f"farm-test-{os.getpid()}")
    yield made
    made.remove()


def fill(group: Cgroup, is_enough: Callable[[], bool]) -> None:
    """Have a process take memory in the group, step by step, until it is enough."""
    hog = subprocess.Popen(
        [*group.entry, sys.executable, "-c", HOG],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hog.stdin is not None
    assert hog.stdout is not None
    try:
        for _ in range(2 * LIMIT_BYTES // STEP_BYTES):
            if is_enough() or hog.poll() is not None:
                break
            with suppress(BrokenPipeError):
                hog.stdin.write("more\n")
                hog.stdin.flush()
            hog.stdout.readline()
        until(is_enough, "a kill for memory", 10)
    finally:
        hog.kill()
        hog.communicate(timeout=20)


def within(command: tuple[str, ...], out: Path, *urls: str, **settings: str) -> Running:
    """Start a crawl by a command that runs it."""
    return start("run", *urls, *crawl_flags(out, **settings), folder=out, within=command)


def assert_whole(finished: Finished, shop: Shop) -> None:
    """Every page is there, and once; the ledger agrees."""
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.urls, 1)
    ledger = finished.summary["ledger"]
    assert ledger["done"] == ledger["accepted"] == len(shop.oracle.urls)
    assert ledger["dead"] == 0


def is_renderer(process: psutil.Process) -> bool:
    """Whether it shows pages."""
    with suppress(psutil.Error):
        return "--type=renderer" in process.cmdline()
    return False


def test_a_farm_that_the_kernel_kills_for_memory_goes_on(shop: Shop, out: Path, group: Cgroup) -> None:
    """Its budget is of the group's limit; killed for what another took, the next run does the rest."""
    running = within(group.entry, out, shop.url)
    seen_pages(shop, 5)
    Path(f"/proc/{running.process.pid}/oom_score_adj").write_text("1000")
    fill(group, lambda: running.process.poll() is not None)
    assert running.finish().code == -signal.SIGKILL
    assert group.kills >= 1
    budget = f"{0.75 * LIMIT_BYTES / MIB:.1f} MiB"
    assert budget in (out / "farm.log").read_text()
    assert_whole(crawl(out, shop.url).finish(), shop)


def test_a_page_that_the_kernel_kills_for_memory_is_visited_again(
    shop: Shop, out: Path, group: Cgroup
) -> None:
    """The farm lives, and takes it for a crash."""
    running = within(group.entry, out, shop.url)
    seen_pages(shop, 5)

    def is_killed() -> bool:
        for process in filter(is_renderer, running.family()):
            with suppress(OSError, psutil.Error):
                Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
        return group.kills >= 1

    fill(group, is_killed)
    assert_whole(running.finish(), shop)


@pytest.fixture
def volume(out: Path) -> Iterator[Path]:
    """Mount a small volume as the output folder."""
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(out)], check=True)
    yield out
    subprocess.run(["umount", "--lazy", str(out)], check=True)


def test_a_full_volume_ends_the_run_and_loses_nothing(shop: Shop, volume: Path) -> None:
    """The sentence says what to do; once there is room, the next run does the rest."""
    running = crawl(volume, shop.url, contexts="1", sink_patience="2s")
    seen_pages(shop, 5)
    filler = (volume / "filler").open("wb", buffering=0)
    with filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    ended = running.finish()
    assert ended.code in {3, 6}, ended.output
    assert "space" in ended.output, ended.output
    assert "Traceback" not in ended.output
    (volume / "filler").unlink()
    assert_whole(crawl(volume, shop.url).finish(), shop)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_farm_that_is_process_1_ends_at_sigterm(shop: Shop, out: Path, processes: str) -> None:
    """As in a container without an init: the kernel delivers to process 1 only what it has a handler for."""
    alone = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    running = within(alone, out, shop.url, processes=processes)
    seen_pages(shop, 5)
    [first] = psutil.Process(running.process.pid).children()
    numbers = Path(f"/proc/{first.pid}/status").read_text().partition("NSpid:")[2].splitlines()[0].split()
    assert numbers[-1] == "1"
    first.send_signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 143, ended.output
    assert "stopped by SIGTERM" in ended.output
    ledger = ended.summary["ledger"]
    assert ledger["leased"] == 0
    assert ledger["done"] == len(ended.records)
    assert_whole(crawl(out, shop.url).finish(), shop)

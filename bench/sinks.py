"""The cost of each sink compared with `pages.jsonl`, and the time of a commit: `python -m bench.sinks [OPTIONS]`.

Without options it crawls: each round runs the farm once into `pages.jsonl` and once into each sink alone, in an
order that turns round with every round, and compares the CPU of Python, Node and Redis per page, from the first
request until everything has ended; the CPU of a database's own processes stands apart. With `--commits` it writes
records of one megabyte instead, forty at once and without a browser: the time of a commit, and the memory that the
writing process needs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.against import Run, summary
from bench.subjects import ROOT
from farm.model.page import PageExchange
from farm.model.record import COLUMNS, Batch, Record
from farm.model.url import record_id
from farm.sinks.address import parse_sink
from farm.sinks.output import RecordSink
from tests.sinks.object_server import BUCKET, ENVIRONMENT, ObjectServer
from tests.sinks.postgres_server import PostgresServer

BASE = "jsonl"
LOCAL: Mapping[str, str] = {
    BASE: "jsonl:",
    "jsonl.zst": "jsonl:pages.jsonl.zst",
    "csv": "csv:",
    "sqlite": "sqlite:///pages.db",
    "parquet": "parquet:parts",
    "warc": "warc:warcs",
}
"""Sinks of the run's own folder."""
OBJECTS = ("s3-parquet", "s3-jsonl")
SERVED = ("postgresql", *OBJECTS)
HTML_BYTES = 2**20
_WORDS = 4_096
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """A sink as `FARM_SINK` names it, new for each run; `pids` are its server's processes."""

    address: Callable[[], str]
    pids: Callable[[], list[int]]
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the environment has besides."""

    def environment(self) -> dict[str, str]:
        """Return the environment of a run."""
        return {"FARM_SINK": self.address(), **self.keys}

    def server_cpu_s(self) -> float:
        """Return the CPU seconds of the server so far, those of its ended processes included."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total


@contextlib.contextmanager
def places(names: tuple[str, ...]) -> Iterator[dict[str, Place]]:
    """Return the sinks by name, servers started; they end with the context."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Place] = {}
        for name in names:
            if name == "postgresql":
                server = PostgresServer()
                stack.callback(server.remove)
                found[name] = _postgresql(server)
            elif name in OBJECTS:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-s3-")))
                objects = ObjectServer(folder)
                stack.callback(objects.remove)
                found[name] = _objects(objects, name.removeprefix("s3-"))
            else:
                found[name] = Place(lambda address=LOCAL[name]: address, list)  # type: ignore[misc]
        yield found


def _postgresql(server: PostgresServer) -> Place:
    def address() -> str:
        return server.database(f"bench_{time.monotonic_ns()}")

    def pids() -> list[int]:
        parent = psutil.Process(server.pid)
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    return Place(address, pids)


def _objects(server: ObjectServer, kind: str) -> Place:
    def address() -> str:
        return f"{kind}:s3://{BUCKET}/{time.monotonic_ns()}?endpoint_url={server.endpoint}"

    return Place(address, lambda: [server.process.pid], ENVIRONMENT)


def crawl(options: argparse.Namespace) -> int:
    """Compare the CPU a page, round by round, and print the ratios to `pages.jsonl`."""
    names = (BASE, *(name for name in options.sinks if name != BASE))
    ratios: dict[str, list[float]] = {name: [] for name in names[1:]}
    server_ms: dict[str, list[float]] = {name: [] for name in names}
    print(
        f"own ms of CPU a page, {options.contexts} contexts\n{'round':>5}"
        + "".join(f"{n:>12}" for n in names)
    )
    with places(names) as found:
        for number in range(options.rounds):
            own_ms = {}
            for name in names if number % 2 == 0 else names[::-1]:
                before = found[name].server_cpu_s()
                extra = ("--contexts", str(options.contexts), "--until-end")
                environment = found[name].environment()
                run = Run(ROOT, options.workload, options.pages, extra=extra, environment=environment)
                own_ms[name] = run.own_ms()
                server_ms[name].append((found[name].server_cpu_s() - before) * 1000 / options.pages)
            print(f"{number + 1:5}" + "".join(f"{own_ms[name]:12.1f}" for name in names), flush=True)
            for name, known in ratios.items():
                known.append(own_ms[name] / own_ms[BASE])
    for name, known in ratios.items():
        apart = statistics.median(server_ms[name])
        served = f"; its server: {apart:.1f} ms of CPU a page" if apart else ""
        print(f"{summary(known, f'{name} / {BASE}')}{served}")
    return 0


def commits(options: argparse.Namespace) -> int:
    """Write large records to each sink, in a process of its own, and print what commits took."""
    head = f"{'sink':12}{'p50 ms':>9}{'p99 ms':>9}{'records/s':>11}{'memory MiB':>12}"
    print(f"commits of records with {HTML_BYTES / _MIB:g} MB of HTML, {options.contexts} at once\n{head}")
    with places(options.sinks) as found, tempfile.TemporaryDirectory(prefix="bench-sinks-") as name:
        for sink, place in found.items():
            command = [
                sys.executable,
                "-m",
                "bench.sinks",
                "--write",
                str(Path(name) / sink),
                place.address(),
            ]
            command += ["--contexts", str(options.contexts), "--records", str(options.records)]
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
                env={**os.environ, **place.keys},
            )
            if done.returncode != 0:
                raise SystemExit(f"writing to {sink} failed:\n{done.stderr}")
            said = json.loads(done.stdout)
            times = sorted(said["ms"])
            p50, p99 = statistics.median(times), times[int(0.99 * (len(times) - 1))]
            rate = len(times) / said["wall_s"]
            print(f"{sink:12}{p50:9.0f}{p99:9.0f}{rate:11.1f}{said['memory_bytes'] / _MIB:12.0f}", flush=True)
    return 0


async def write(folder: Path, address: str, contexts: int, records: int) -> dict[str, Any]:
    """Commit records, `contexts` at once; return the time of each in ms, of all in s, and the memory gained."""
    (folder / "out").mkdir(parents=True)
    random.seed(1)
    words = [f"{random.randrange(1 << 32):08x}" for _ in range(_WORDS)]  # noqa: S311 - text to be packed
    numbers = iter(range(records))
    took_ms: list[float] = []

    async def committer() -> None:
        for number in numbers:
            one = _record(number, words)
            begun = time.monotonic()
            await sink.commit(Batch((one,)))
            took_ms.append((time.monotonic() - begun) * 1000)

    with contextlib.chdir(folder):
        sink = await RecordSink.open(folder / "out", [parse_sink(address)])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.monotonic()
        await asyncio.gather(*(committer() for _ in range(contexts)))
        wall_s = time.monotonic() - begun
        await sink.close(60.0)
    gained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"ms": took_ms, "wall_s": wall_s, "memory_bytes": gained * 1024}


def _record(number: int, words: list[str]) -> Record:
    """Return a record whose HTML packs about as real pages do, and is no other's."""
    url = f"https://shop.example/{number}"
    cell = "".join(f"<td class='price'>{word}</td>" for word in words[number % 97 :: 7])
    html = f"<title>{number}</title>" + cell * (HTML_BYTES // len(cell) + 1)
    empty: dict[str, Any] = {"text": "", "integer": 0, "boolean": False, "json": []}
    fields = {column.name: empty.get(column.type, "2026-03-01T12:00:00.000Z") for column in COLUMNS}
    id_, html = record_id("bench", url), html[:HTML_BYTES]
    exchange = PageExchange(url, "GET", 200, body=html.encode())
    return Record(id_, url, {**fields, "id": id_, "url": url, "html": html, "headers": {}}, {}, (exchange,))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    if options.write:
        folder, address = options.write
        print(json.dumps(asyncio.run(write(Path(folder), address, options.contexts, options.records))))
        return 0
    return commits(options) if options.commits else crawl(options)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in {*LOCAL, *SERVED}]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is not one of {', '.join((*LOCAL, *SERVED))}")
    return names


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sinks", description="What each sink costs.")
    parser.add_argument(
        "--sinks", type=_names, default=(*LOCAL, *SERVED), metavar="NAMES", help="which [all]"
    )
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="runs of each [8]")
    parser.add_argument("--pages", type=int, default=400, metavar="N", help="pages of a run [400]")
    parser.add_argument(
        "--contexts", type=int, default=40, metavar="N", help="contexts, or commits at once [40]"
    )
    parser.add_argument("--workload", default="one", metavar="NAME", help="pages as in bench.profile [one]")
    parser.add_argument("--commits", action="store_true", help="the time and memory of commits instead")
    parser.add_argument("--records", type=int, default=1_000, metavar="N", help="records of --commits [1000]")
    parser.add_argument("--write", nargs=2, metavar=("DIR", "SINK"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

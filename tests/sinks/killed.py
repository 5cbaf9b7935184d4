"""A program that commits records until it is killed, and a test's side of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farm.model.outcome import SkipReason
from farm.model.record import COLUMNS, Batch, Record, Skip
from farm.model.url import record_id
from farm.sinks.address import parse_sink
from farm.sinks.output import RecordSink
from farm.sinks.record import timestamp
from tests.tree import ROOT

_DEFAULTS: dict[str, Any] = {
    "text": "",
    "integer": 0,
    "boolean": False,
    "timestamp": timestamp(datetime(2026, 3, 1, tzinfo=UTC)),
    "json": [],
}
SLOTS = 8


def record(number: int, **fields: Any) -> Record:
    """Return a record of its own, with every column."""
    url = f"https://shop.example/{number}"
    id_ = record_id("test", url)
    every = {column.name: _DEFAULTS[column.type] for column in COLUMNS}
    return Record(id_, url, every | {"id": id_, "url": url, "text": "ü\n" * number} | fields)


def killed(folder: Path, *sinks: str, runs: int = 3) -> set[str]:
    """Kill a writer by SIGKILL in mid-write, in each of several runs; return the ids that it has confirmed.

    Each run repeats a part of what the one before has written.
    """
    confirmed: set[str] = set()
    for run in range(runs):
        command = [sys.executable, "-m", "tests.sinks.killed", str(folder), str(run * 20), *sinks]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for _ in range(40 + run):
                line = process.stdout.readline()
                assert line.endswith("\n"), "the writer has ended by itself"
                confirmed.add(line.strip())
            process.kill()
            confirmed.update(line.strip() for line in process.stdout if line.endswith("\n"))
    return confirmed


async def _commit(sink: RecordSink, numbers: Iterator[int]) -> None:
    for number in numbers:
        one = record(number, text="x" * (number * 7919 % 200_000))
        await sink.commit(Batch([one], [Skip(one.url, SkipReason.TRAP, None, 0)]))
        print(one.id, flush=True)  # noqa: T201 - the test reads it


async def _main(folder: str, first: str, *sinks: str) -> None:
    sink = await RecordSink.open(Path(folder), [parse_sink(text) for text in sinks])
    numbers = iter(range(int(first), 1_000_000))
    await asyncio.gather(*(_commit(sink, numbers) for _ in range(SLOTS)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

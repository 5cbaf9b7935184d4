"""Files of packed lines and of rows: cut anywhere, unpacked by the tools that people have, rotated, moved away."""

import asyncio
import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch, Record
from farm.sinks import frames
from farm.sinks.address import parse_sink, store_of
from farm.sinks.log_file import LogFile
from farm.sinks.output import RecordSink
from farm.sinks.store import Store
from tests.sinks.killed import killed, record

csv.field_size_limit(1 << 30)
NAMES = ["pages.jsonl", "pages.jsonl.gz", "pages.jsonl.zst", "pages.csv"]
UNPACK = {".gz": gzip.decompress, ".zst": zstd.decompress}


def small(number: int, **fields: Any) -> Record:
    """Return a record of few columns; a CSV has all the same."""
    one = record(number)
    return Record(one.id, one.url, {"id": one.id, "url": one.url, "title": 'a,"\n' * number, **fields})


def opened(path: Path, rotate: str = "") -> Store[Any]:
    """Open the store of a path, by the kind that its name has."""
    kind = "csv" if ".csv" in path.name else "jsonl"
    store = store_of(parse_sink(f"{kind}:{path}{rotate}"), path.parent, path.parent / ".farm")
    store.open()
    return store


def write(store: Store[Any], *numbers: int) -> None:
    """Write records as one group."""
    store.write([store.encode(Batch([small(number)]))[0] for number in numbers])


def urls(path: Path) -> list[str]:
    """Return the addresses in a file, read by the standard library."""
    content = UNPACK.get(path.suffix, bytes)(path.read_bytes())
    if ".csv" in path.name:
        return [row["url"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    return [json.loads(line)["url"] for line in content.splitlines()]


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Name a file of each kind."""
    name: str = request.param
    return tmp_path / name


def test_an_id_stands_once_over_groups_and_runs(path: Path) -> None:
    """Also without the sidecar, which is made anew from the file."""
    for run in (0, 1, 2):
        store = opened(path)
        assert store.records == (3 if run else 0)
        write(store, 1, 2, 1)
        write(store, 2, 3)
        assert (store.records, store.written) == (3, 0 if run else 3)
        store.close()
        if run == 1:
            shutil.rmtree(path.parent / ".farm")
    assert urls(path) == [record(number).url for number in (1, 2, 3)]
    last = opened(path)
    last.close()
    last.clear()
    assert not path.exists()


@pytest.mark.parametrize("with_index", [True, False])
def test_a_file_that_was_cut_is_whole_again_after_a_repeat(path: Path, with_index: bool) -> None:
    """Places in the header and in the last two records."""
    store = opened(path)
    write(store, 1)
    kept = path.stat().st_size
    write(store, 2, 3)
    store.close()
    whole, sidecars = path.read_bytes(), path.parent / ".farm"
    shutil.copytree(sidecars, path.parent / "kept")
    sizes = [*range(0, 40, 3), *range(kept, len(whole) - 9, 3), *range(len(whole) - 9, len(whole))]
    for size in sizes:
        path.write_bytes(whole[:size])
        shutil.rmtree(sidecars)
        if with_index:
            shutil.copytree(path.parent / "kept", sidecars)
        again = opened(path)
        write(again, 1, 2, 3)
        again.close()
        assert path.read_bytes() == whole, size


@pytest.mark.parametrize(
    "torn",
    [bytes(100), b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd\x20", b'{"id":"0'],
    ids=["zeros", "gzip", "zstd", "line"],
)
def test_what_a_power_cut_leaves_is_cut_off(path: Path, torn: bytes) -> None:
    """Zeros in place of blocks, or the beginning of an entry; what is neither is somebody's, and stays."""
    store = opened(path)
    write(store, 1, 2)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    packed = path.suffix in UNPACK
    is_foreign = packed and not torn.startswith((b"\0", {".gz": b"\x1f", ".zst": b"\x28"}[path.suffix]))
    if is_foreign:
        with pytest.raises(OutputUnwritable, match="that the farm did not write; move the file away"):
            opened(path)
        assert path.read_bytes() == whole + torn
    else:
        again = opened(path)
        assert again.records == 2
        again.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "foreign",
    [b"hello\n", b"a,b\n1,2\n", gzip.compress(b"my diary\n"), zstd.compress(b"my diary\n")],
    ids=["text", "table", "gzip", "zstd"],
)
def test_a_file_that_somebody_else_wrote_is_refused_and_left_as_it_is(path: Path, foreign: bytes) -> None:
    """One sentence with the remedy."""
    path.write_bytes(foreign)
    with pytest.raises(OutputUnwritable, match="move the file away or choose another --sink"):
        opened(path)
    assert path.read_bytes() == foreign


@pytest.mark.parametrize(
    ("framing", "content"),
    [
        (frames.LINES, b"x" * 100_000),
        (frames.CsvFraming(), b"x" * 100_000),
        (frames.CsvFraming(), b'"' + b"\n" * 100_000),
    ],
)
def test_no_more_is_read_at_once_than_an_entry_may_have(
    monkeypatch: pytest.MonkeyPatch, framing: frames.Framing, content: bytes
) -> None:
    """Somebody's file of gigabytes without an end of a line, or with an odd quote, is refused and not read."""
    monkeypatch.setattr(frames, "_MOST_BYTES", 1_000)
    file = io.BytesIO(content)
    assert list(framing.whole(file)) == []
    assert file.tell() <= 1_001


@pytest.mark.parametrize(("name", "program"), [("p.jsonl.gz", "gzip"), ("p.jsonl.zst", "zstd")])
def test_the_programs_that_people_have_unpack_it(tmp_path: Path, name: str, program: str) -> None:
    """Many members are one file to them."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    store = opened(tmp_path / name)
    for number in range(1, 30):
        write(store, number)
    store.close()
    done = subprocess.run([program, "-dc", str(tmp_path / name)], capture_output=True, check=True, timeout=30)
    assert [json.loads(line)["url"] for line in done.stdout.splitlines()] == [
        record(number).url for number in range(1, 30)
    ]


async def _opened_and_closed(folder: Path, sink: str) -> None:
    await (await RecordSink.open(folder, [parse_sink(sink)])).close()


def test_a_writer_killed_in_mid_write_has_lost_nothing_that_it_confirmed(path: Path) -> None:
    """SIGKILL, three times, with files that are rotated meanwhile; a torn end is removed by the next run."""
    kind = "csv" if ".csv" in path.name else "jsonl"
    folder, sink = path.parent / "out", f"{kind}:{path}?rotate=200KiB"
    confirmed = killed(folder, sink)
    asyncio.run(_opened_and_closed(folder, sink))
    files = [one for one in path.parent.iterdir() if one.is_file()]
    assert len(files) > 2 or path.suffix in UNPACK
    expected = {record(number).id: record(number).url for number in range(1000)}
    found = Counter(url for one in files for url in urls(one))
    assert set(found.values()) == {1}
    assert {expected[id_] for id_ in confirmed} <= found.keys()


def test_files_are_rotated_and_may_be_moved_away(path: Path) -> None:
    """Their ids stay known, over runs; a file that was not the farm's is left alone."""
    store = opened(path, "?rotate=1KiB")
    for number in range(60):
        write(store, number)
    assert store.records == 60
    store.close()
    stem, dot, suffix = path.name.partition(".")
    finished = path.parent / f"{stem}-000001{dot}{suffix}"
    numbered = sorted(one.name for one in path.parent.iterdir() if one.is_file())
    assert numbered == [
        *(f"{stem}-{number:06d}{dot}{suffix}" for number in range(1, len(numbered))),
        path.name,
    ]
    assert finished.stat().st_size >= 1024
    everything = [url for name in numbered for url in urls(path.parent / name)]
    assert sorted(everything) == sorted(record(number).url for number in range(60))
    finished.rename(path.parent / "taken")
    again = opened(path, "?rotate=1KiB")
    assert (again.records, again.written) == (60, 0)
    for number in range(61):
        write(again, number)
    assert (again.records, again.written) == (61, 1)
    again.close()
    unrotated = opened(path)
    write(unrotated, *range(61))
    assert unrotated.written == 0
    unrotated.close()
    unrotated.clear()
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == ["taken"]


def test_a_file_takes_no_lines_of_another_crawl_before_it_has_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be in a file of another name than that crawl knows."""
    path = tmp_path / "pages.jsonl"
    store, numbers, asked = opened(path, "?rotate=1KiB"), LogFile._numbers, list[str]()

    def tried(file: LogFile) -> list[int]:
        if not asked:
            asked.append(file.name)
            with pytest.raises(OutputUnwritable, match="is being written to by another run"):
                store_of(parse_sink(f"jsonl:{path}"), tmp_path / "b", tmp_path / "b/.farm").open()
        return numbers(file)

    write(store, *range(30))
    monkeypatch.setattr(LogFile, "_numbers", tried)
    write(store, 30)
    assert asked == [f"jsonl:{path}"]
    store.close()
    assert len(urls(tmp_path / "pages-000001.jsonl")) == 30


def test_a_rotation_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    """A crash between the two renames leaves the sidecar under the old name."""
    path = tmp_path / "pages.jsonl"
    store = opened(path, "?rotate=1KiB")
    write(store, *range(30))
    store.close()
    path.rename(tmp_path / "pages-000001.jsonl")
    again = opened(path, "?rotate=1KiB")
    assert again.records == 30
    write(again, 1, 2, 30)
    assert again.written == 1
    again.close()
    assert urls(path) == [record(30).url]


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(path: Path) -> None:
    """Opening one waits for whoever writes to it."""
    os.mkfifo(path)
    with pytest.raises(OutputUnwritable, match="choose another --sink"):
        opened(path)


READER = """
import asyncio, sys
from pathlib import Path
from farm.model.errors import OutputUnwritable
from farm.model.record import Batch
from farm.sinks.address import parse_sink
from farm.sinks.log_file import LogFile
from farm.sinks.output import RecordSink
from farm.sinks.standard_output import reserve
from tests.sinks.killed import record

async def main():
    sink = await RecordSink.open(Path(sys.argv[1]), [parse_sink("stdout:")])
    print("for people")
    sys.stdout.flush()
    try:
        for number in range(300):
            await sink.commit(Batch([record(number), record(0)]))
    except OutputUnwritable as error:
        print(error)
    await sink.close()
    print(sink.stores[0].written)

reserve()
asyncio.run(main())
"""


def test_standard_output_has_records_alone(tmp_path: Path) -> None:
    """What else is printed goes to standard error; a slow reader, by a pipe that blocks nobody, loses nothing."""
    read, wrote = os.pipe()
    os.set_blocking(wrote, False)

    command = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(command, stdout=wrote, stderr=subprocess.PIPE, text=True) as process:
        os.close(wrote)
        with os.fdopen(read, "rb") as lines:
            found = [json.loads(line)["url"] for line in lines]
        assert process.stderr is not None
        assert process.stderr.read() == "for people\n300\n"
    assert found == [record(number).url for number in range(300)]


def test_a_reader_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    """As a disk that is full does."""
    command = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["url"] == record(0).url
        process.stdout.close()
        assert b"standard output cannot be written (Broken pipe); keep its reader" in process.stderr.read()


def test_a_sink_opens_each_of_them(tmp_path: Path) -> None:
    """All at once, with the same records."""
    addresses = [parse_sink(f"{'csv' if 'csv' in name else 'jsonl'}:{tmp_path / name}") for name in NAMES]

    async def commit() -> None:
        sink = await RecordSink.open(tmp_path / "out", addresses)
        await asyncio.gather(*(sink.commit(Batch([record(number)])) for number in range(20)))
        assert [store.records for store in sink.stores] == [20] * 4
        await sink.close()

    asyncio.run(commit())
    assert [sorted(urls(tmp_path / name)) for name in NAMES] == [sorted(record(n).url for n in range(20))] * 4
    assert store_of(parse_sink("jsonl"), tmp_path, tmp_path).name == f"jsonl:{tmp_path / 'pages.jsonl'}"

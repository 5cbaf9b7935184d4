"""The JSONL sink."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import SkipReason
from farm.model.record import Batch, Record, Skip
from farm.sinks.output import _CODES, RecordSink
from tests.sinks.killed import killed, record

if TYPE_CHECKING:
    from farm.runtime.ports import Sink

NOBODY = 65_534


def small(number: int) -> Record:
    """Return a record of a few bytes."""
    one = record(number)
    return Record(one.id, one.url, {"id": one.id, "url": one.url, "text": "ü\n" * number})


def skip(number: int, reason: SkipReason = SkipReason.OUT_OF_SCOPE) -> Skip:
    """Return a skip of its own."""
    return Skip(f"https://other.example/{number}", reason, "https://shop.example/", 1)


def read(path: Path) -> list[Mapping[str, Any]]:
    """Return the lines of a file; it must end with a whole one."""
    text = path.read_text(encoding="utf-8")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


async def test_the_sink_fits_the_port(tmp_path: Path) -> None:
    """What the loop needs of a sink is this."""
    opened = await RecordSink.open(tmp_path)
    sink: Sink = opened
    await sink.commit(Batch())
    await opened.close()


async def test_records_and_skips_are_lines_of_their_files(tmp_path: Path) -> None:
    """What was committed can be read by anybody."""
    sink = await RecordSink.open(tmp_path / "new" / "folder")
    await sink.commit(Batch([record(1), record(2)], [skip(1)]))
    assert [line["url"] for line in read(tmp_path / "new/folder/pages.jsonl")] == [
        record(1).url,
        record(2).url,
    ]
    assert read(tmp_path / "new/folder/skipped.jsonl") == [
        {
            "url": "https://other.example/1",
            "reason": "out_of_scope",
            "referrer": "https://shop.example/",
            "depth": 1,
        }
    ]
    assert {path.name for path in (tmp_path / "new/folder").iterdir()} == {
        "pages.jsonl",
        "skipped.jsonl",
        ".farm",
    }
    await sink.close()


async def test_numbers_are_counted_again_at_resume(tmp_path: Path) -> None:
    """Each id once, each URL once per reason."""
    for written in (2, 0):
        sink = await RecordSink.open(tmp_path)
        await sink.commit(Batch([record(1)], [skip(1), skip(2), skip(1, SkipReason.ROBOTS)]))
        await sink.commit(Batch([record(1), record(2)], [skip(1)]))
        assert sink.stores[0].records == 2
        assert sink.stores[0].written == written, "a record that was there already is none of this run's"
        assert sink.skipped == {"out_of_scope": 2, "robots": 1}
        await sink.close()
    assert len(read(tmp_path / "pages.jsonl")) == 2
    assert len(read(tmp_path / "skipped.jsonl")) == 3
    (tmp_path / ".farm" / "skipped.index").unlink()
    again = await RecordSink.open(tmp_path)
    assert again.skipped == {"out_of_scope": 2, "robots": 1}
    await again.close()


async def test_the_memory_of_skips_is_bounded(tmp_path: Path) -> None:
    """A URL that is skipped again after a long while has two lines, which does no harm."""
    sink = await RecordSink.open(tmp_path, remembered_skips=10)
    for number in [*range(100), 0, 99]:
        await sink.commit(Batch(skips=[skip(number)]))
    await sink.close()
    assert len(read(tmp_path / "skipped.jsonl")) == 101


async def test_pages_cut_at_every_byte_of_the_last_records_are_whole_again_after_a_repeat(
    tmp_path: Path,
) -> None:
    """A crash may end the file anywhere; the visits that were not acknowledged are repeated."""
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch([small(number) for number in range(1, 5)]))
    await sink.close()
    path = tmp_path / "pages.jsonl"
    whole = path.read_bytes()
    second_line = whole.index(b"\n") + 1
    for size in range(second_line, len(whole)):
        path.write_bytes(whole[:size])
        again = await RecordSink.open(tmp_path)
        assert again.stores[0].records == whole[:size].count(b"\n")
        await again.commit(Batch([small(number) for number in range(1, 5)]))
        await again.close()
        assert path.read_bytes() == whole


def test_a_writer_killed_in_mid_write_has_lost_nothing_that_it_confirmed(tmp_path: Path) -> None:
    """SIGKILL, three times over the same folder: what was confirmed is there, once, and every line is whole."""
    confirmed = killed(tmp_path, "jsonl:")
    sink = asyncio.run(RecordSink.open(tmp_path))
    counts = Counter(line["id"] for line in read(tmp_path / "pages.jsonl"))
    assert confirmed <= counts.keys()
    assert set(counts.values()) == {1}
    assert sink.stores[0].records == len(counts)
    assert sink.skipped == {"trap": len(read(tmp_path / "skipped.jsonl"))}
    asyncio.run(sink.close())


async def test_half_a_surrogate_pair_does_not_stop_a_record(tmp_path: Path) -> None:
    """A page's script can make one; it is kept as the replacement character."""
    sink = await RecordSink.open(tmp_path)
    await sink.commit(
        Batch([record(1, title="a\ud800b", meta={"big": 1 << 70, "list": ("x\udfff", None, 1.5)})])
    )
    await sink.close()
    (line,) = read(tmp_path / "pages.jsonl")
    assert line["title"] == "a\ufffdb"
    assert line["meta"] == {"big": 1 << 70, "list": ["x\ufffd", None, 1.5]}


@pytest.mark.parametrize("value", [object(), b"bytes", {"a": {1, 2}}])
async def test_a_record_that_is_no_json_is_its_pages_fault(tmp_path: Path, value: object) -> None:
    """The sink goes on."""
    sink = await RecordSink.open(tmp_path)
    with pytest.raises(RenderError, match="corrupt: the record cannot be written as JSON"):
        await sink.commit(Batch([record(1, meta=value)]))
    with pytest.raises(RenderError, match="does not have 32 hex digits"):
        await sink.commit(Batch([Record("ab", "u", {})]))
    await sink.commit(Batch([record(2)]))
    await sink.close()
    assert [line["url"] for line in read(tmp_path / "pages.jsonl")] == [record(2).url]


async def test_many_slots_commit_at_once(tmp_path: Path) -> None:
    """Each comes back only when its own record can be read."""
    sink = await RecordSink.open(tmp_path)

    async def visit(number: int) -> None:
        await sink.commit(Batch([record(number)]))
        assert record(number).id.encode() in (tmp_path / "pages.jsonl").read_bytes()

    await asyncio.gather(*(visit(number) for number in range(50)))
    await sink.close()
    assert sink.stores[0].records == 50


@contextmanager
def a_folder_of_nobody_mighty() -> Iterator[Path]:
    """Make a folder that its owner may only read, and be an ordinary user meanwhile: root may write anywhere."""
    is_root = os.geteuid() == 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o500)
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)


async def test_a_read_only_folder_is_one_sentence() -> None:
    """With the remedy, and nothing is left behind."""
    with a_folder_of_nobody_mighty() as folder:
        with pytest.raises(OutputUnwritable, match="choose another --output"):
            await RecordSink.open(folder)
        assert list(folder.iterdir()) == []


def test_every_reason_has_a_number_of_its_own() -> None:
    """The numbers are in files."""
    assert set(_CODES) == set(SkipReason)
    assert len(set(_CODES.values())) == len(_CODES)

"""A log that survives being killed at any byte."""

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable
from farm.sinks import append_log as log_module
from farm.sinks import log_index as index_module
from farm.sinks.append_log import AppendLog
from farm.sinks.log_index import AllKeys

HEADER_BYTES = ENTRY_BYTES = 24


def key_of(line: bytes) -> bytes | None:
    """Read the key out of a line of these tests."""
    return blake2b(line, digest_size=16).digest() if line.startswith(b'{"n":') else None


def entry(number: int) -> tuple[bytes, bytes]:
    """Return a line and its key; lines differ in length."""
    line = b'{"n":%d,"x":"%s"}\n' % (number, b"x" * (number % 7))
    return blake2b(line, digest_size=16).digest(), line


def lines(*numbers: int) -> bytes:
    """Return the lines of these numbers."""
    return b"".join(entry(number)[1] for number in numbers)


def opened(folder: Path, read_key: Callable[[bytes], bytes | None] = key_of) -> AppendLog:
    """Open the log of a folder."""
    return AppendLog(folder / "log.jsonl", folder / ".farm" / "log.index", read_key, AllKeys())


def written(folder: Path, *numbers: int) -> bytes:
    """Write a log and return its bytes."""
    log = opened(folder)
    log.append([entry(number) for number in numbers])
    log.close()
    return (folder / "log.jsonl").read_bytes()


def test_a_key_is_written_once(tmp_path: Path) -> None:
    """Within a batch, over batches and over runs."""
    log = opened(tmp_path)
    assert log.append([entry(1), entry(2), entry(1)]) == [entry(1)[0], entry(2)[0]]
    assert log.append([entry(2), entry(3)]) == [entry(3)[0]]
    assert log.append([entry(3)]) == []
    log.close()
    again = opened(tmp_path)
    assert again.lines == 3
    assert again.append([entry(1), entry(4)]) == [entry(4)[0]]
    again.close()
    assert (tmp_path / "log.jsonl").read_bytes() == lines(1, 2, 3, 4)


@pytest.mark.parametrize("with_index", ["whole", "absent", "behind"])
def test_a_log_cut_at_any_byte_goes_on_from_its_last_whole_line(tmp_path: Path, with_index: str) -> None:
    """Whatever state the sidecar is in: the batch is repeated, and the file has each line once."""
    whole = written(tmp_path, 1, 2, 3, 4)
    path, index = tmp_path / "log.jsonl", tmp_path / ".farm" / "log.index"
    sidecar = index.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        index.write_bytes(sidecar)
        if with_index == "absent":
            index.unlink()
        elif with_index == "behind":
            index.write_bytes(sidecar[: HEADER_BYTES + ENTRY_BYTES])
        log = opened(tmp_path)
        assert path.read_bytes() == whole[: whole.rfind(b"\n", 0, size) + 1]
        assert log.lines == whole[:size].count(b"\n")
        log.append([entry(number) for number in (1, 2, 3, 4)])
        log.close()
        assert path.read_bytes() == whole


def test_a_sidecar_cut_at_any_byte_is_completed_from_the_log(tmp_path: Path) -> None:
    """It is written after the log and never synced."""
    whole = written(tmp_path, 1, 2, 3)
    index = tmp_path / ".farm" / "log.index"
    sidecar = index.read_bytes()
    for size in range(len(sidecar)):
        index.write_bytes(sidecar[:size])
        log = opened(tmp_path)
        assert log.append([entry(1), entry(2), entry(3)]) == []
        log.close()
        assert index.read_bytes() == sidecar
    assert (tmp_path / "log.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda sidecar: sidecar + bytes(ENTRY_BYTES * 3),
        lambda sidecar: sidecar[:-ENTRY_BYTES] + bytes(ENTRY_BYTES),
        lambda sidecar: sidecar[:-ENTRY_BYTES] + b"k" * 16 + sidecar[-8:],
        lambda sidecar: sidecar[:-8] + struct.pack("=Q", 1 << 40),
        lambda sidecar: sidecar[: HEADER_BYTES + 16] + struct.pack("=Q", 5) + sidecar[HEADER_BYTES + 24 :],
        lambda sidecar: b"another-format-2" + sidecar[16:],
        lambda sidecar: sidecar[:HEADER_BYTES] + sidecar[HEADER_BYTES:] * 2,
    ],
)
def test_a_sidecar_that_contradicts_the_log_is_made_anew(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """The log is right, whatever the sidecar says."""
    written(tmp_path, 1, 2, 3)
    index = tmp_path / ".farm" / "log.index"
    sidecar = index.read_bytes()
    index.write_bytes(damage(sidecar))
    log = opened(tmp_path)
    assert log.lines == 3
    assert log.append([entry(1), entry(2), entry(3)]) == []
    log.close()
    assert index.read_bytes() == sidecar


def test_a_known_line_is_not_read_again(tmp_path: Path) -> None:
    """Of 2,000 lines only the samples are."""
    written(tmp_path, *range(2000))
    read: list[bytes] = []

    def counted(line: bytes) -> bytes | None:
        read.append(line)
        return key_of(line)

    log = opened(tmp_path, counted)
    assert log.append([entry(1999), entry(1000)]) == []
    log.close()
    assert 10 < len(read) < 40


@pytest.mark.parametrize(
    "torn", [bytes(100), b'{"n":9}\n'[:4] + bytes(50) + b"\n" + lines(8), b'{"n":9', b"{"]
)
def test_what_a_crash_has_left_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """Half a line, or blocks of zeros whose content the power cut took."""
    for numbers in ((), (1, 2)):
        (tmp_path / "log.jsonl").write_bytes(lines(*numbers) + torn)
        log = opened(tmp_path)
        assert log.lines == len(numbers)
        log.close()
        assert (tmp_path / "log.jsonl").read_bytes() == lines(*numbers)


@pytest.mark.parametrize(
    "foreign", [b"hello", b"hello\n", b'{"other": 1}\n', lines(1) + b"a note\n" + lines(2)]
)
def test_a_file_that_somebody_else_wrote_is_refused_and_left_as_it_is(tmp_path: Path, foreign: bytes) -> None:
    """One sentence with the remedy, and not a byte is lost."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(foreign)
    with pytest.raises(OutputUnwritable, match="move the file away or choose another --output"):
        opened(tmp_path)
    assert path.read_bytes() == foreign


@pytest.mark.parametrize("failing", ["write", "sync", "index"])
def test_a_failure_cuts_back_to_the_last_good_line_and_ends_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A disk that is full in the middle of a line leaves no half of it; what was good stays."""
    log = opened(tmp_path)
    log.append([entry(1)])

    def write_half(fd: int, content: bytes) -> None:
        os.write(fd, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_sync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    if failing == "write":
        monkeypatch.setattr(log_module, "write_all", write_half)
    elif failing == "sync":
        monkeypatch.setattr(log_module, "_sync", no_sync)
    else:
        monkeypatch.setattr(index_module, "write_all", write_half)
    with pytest.raises(OutputUnwritable, match=r"log\.jsonl cannot be written \(.*\); free some space"):
        log.append([entry(2), entry(3)])
    monkeypatch.undo()
    with pytest.raises(OutputUnwritable):
        log.append([entry(2)])
    log.close()
    assert (tmp_path / "log.jsonl").read_bytes() == lines(1)
    again = opened(tmp_path)
    assert len(again.append([entry(1), entry(2), entry(3)])) == 2
    again.close()
    assert (tmp_path / "log.jsonl").read_bytes() == lines(1, 2, 3)


FILLER = """
import resource, sys
from pathlib import Path
from farm.model.errors import OutputUnwritable
from tests_of_log import entry, opened
folder = Path(sys.argv[1])
log = opened(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
kept = 0
try:
    while True:
        log.append([entry(kept)])
        kept += 1
except OutputUnwritable as error:
    print(kept, error)
"""


DISTURBANCES: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_name("kept.jsonl")),
    "replaced": lambda path: (
        path.rename(path.with_name("kept.jsonl")).with_name("log.jsonl").write_bytes(lines(1))
    ),
    "folder removed": lambda path: path.parent.rename(path.parent.with_name("gone")),
    "emptied": lambda path: os.truncate(path, 0),
    "added to": lambda path: path.write_bytes(path.read_bytes() + b'{"n'),
}


@pytest.mark.parametrize("how", DISTURBANCES)
def test_a_log_that_somebody_disturbs_confirms_no_more_lines(tmp_path: Path, how: str) -> None:
    """They would be in a file that nobody finds, or stand behind something that is no line."""
    folder = tmp_path / "out"
    log = opened(folder)
    log.append([entry(1)])
    DISTURBANCES[how](folder / "log.jsonl")
    for number in (2, 3):
        with pytest.raises(OutputUnwritable, match="moved, removed or changed while the farm was writing"):
            log.append([entry(number)])
    log.close()
    again = opened(folder)
    again.append([entry(1), entry(2)])
    again.close()
    kept = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    assert sorted(kept) == [entry(1)[1], entry(2)[1]]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """It would know nothing of the keys of the first; once that has ended it may."""
    log = opened(tmp_path)
    log.append([entry(1)])
    with pytest.raises(
        OutputUnwritable, match=r"is being written to by another run; wait for its end, or choose"
    ):
        opened(tmp_path)
    log.append([entry(2)])
    log.close()
    again = opened(tmp_path)
    assert again.lines == 2
    again.close()


@pytest.mark.parametrize("broken", ["log.jsonl", "log.index"])
def test_a_log_that_cannot_be_opened_holds_nothing(tmp_path: Path, broken: str) -> None:
    """The next run in this process can have it, once it is mended; closing twice is harmless."""
    log = opened(tmp_path)
    log.append([entry(1)])
    index = log.index_path
    log.close()
    log.close()
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    kept = (tmp_path / "log.jsonl").read_bytes()
    if broken == "log.jsonl":
        (tmp_path / "log.jsonl").write_bytes(b"mine\n" + kept)
    else:
        index.unlink()
        index.symlink_to("/dev/full")
    with pytest.raises(OutputUnwritable):
        opened(tmp_path)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    index.unlink(missing_ok=True)
    (tmp_path / "log.jsonl").write_bytes(kept)
    again = opened(tmp_path)
    assert again.lines == 1
    again.close()


def test_a_file_that_may_not_grow_ends_with_a_whole_line(tmp_path: Path) -> None:
    """The system itself refuses in the middle of a line here."""
    (tmp_path / "tests_of_log.py").write_bytes(Path(__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kept, _, sentence = done.stdout.partition(" ")
    assert "cannot be written (File too large)" in sentence
    assert (tmp_path / "log.jsonl").read_bytes() == lines(*range(int(kept)))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """There is a file in place of the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OutputUnwritable, match=r"cannot be written \(.*\); free some space .* choose another --output"
    ):
        opened(tmp_path / "file")

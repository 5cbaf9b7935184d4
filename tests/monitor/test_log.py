"""The log; events are records of it."""

import asyncio
import json
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable
from farm.model.event import (
    Emit,
    Event,
    Fate,
    Notice,
    PageDone,
    Recycled,
    RedisAway,
    RedisBack,
    SinkAway,
    SinkBack,
    VisitFailed,
)
from farm.monitor.event_log import log_event
from farm.monitor.log import LogOutput, logged_apart, start_logging

log = logging.getLogger("farm.test")
URL = "https://shop.example/a"


def fail() -> None:
    """Log a failure with its traceback."""
    try:
        int("inside")
    except ValueError:
        log.exception("it failed")


def test_the_file_has_everything_and_standard_error_is_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback is for the file: a user gets a sentence."""
    output = start_logging(tmp_path / "new")
    log.info("hello %s", "ü")
    log.debug("too fine")
    fail()
    output.close()
    text = (tmp_path / "new" / "farm.log").read_text(encoding="utf-8")
    assert "info    farm.test: hello ü\n" in text
    assert "ValueError: invalid literal" in text
    assert "too fine" not in text
    lines = capsys.readouterr().err.splitlines()
    assert [line[9:] for line in lines] == ["info    hello ü", "error   it failed"]


def test_json_lines_have_the_facts_of_an_event(tmp_path: Path) -> None:
    """One object a line, whatever the text is."""
    output = start_logging(tmp_path, level="debug", form="json", stderr=False)
    log.debug("two\nlines", extra={"facts": {"url": "https://shop.example/", "level": "mine", "odd": {1}}})
    fail()
    output.close()
    first, second = (json.loads(line) for line in (tmp_path / "farm.log").read_text().splitlines())
    assert first["text"] == "two\nlines"
    assert first["url"] == "https://shop.example/"
    assert (first["level"], first["logger"], first["odd"]) == ("debug", "farm.test", "{1}")
    assert first["at"].endswith("Z")
    assert "ValueError: invalid literal" in second["traceback"]


def test_of_libraries_only_warnings_are_logged(tmp_path: Path) -> None:
    """Whatever the level of the farm is."""
    output = start_logging(tmp_path, level="debug", stderr=False)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    output.close()
    assert [line.split()[1:] for line in (tmp_path / "farm.log").read_text().splitlines()] == [
        ["warning", "library:", "trouble"]
    ]


def test_closing_leaves_logging_as_it_was(tmp_path: Path) -> None:
    """Handlers and levels."""
    root, farm = logging.getLogger(), logging.getLogger("farm")
    before = (root.level, farm.level, list(root.handlers))
    output = start_logging(tmp_path, level="error", stderr=False)
    assert (root.level, farm.level) != before[:2]
    output.close()
    assert (root.level, farm.level, list(root.handlers)) == before


async def test_of_several_runs_each_has_its_own_lines(tmp_path: Path) -> None:
    """At its own level, from its tasks and from its threads; what is of no run is in all of them."""
    begun = asyncio.Barrier(2)

    async def run(name: str, level: str) -> None:
        with logged_apart():
            output = start_logging(tmp_path / name, level=level, stderr=False, libraries=False)
            await begun.wait()
            log.debug("detail of %s", name)
            await asyncio.create_task(asyncio.to_thread(log.warning, "a thread of %s", name))
            thread = threading.Thread(target=log.warning, args=("a thread of nobody's, beside %s", name))
            thread.start()
            thread.join()
            await begun.wait()
            output.close()

    before = logging.getLogger("farm").level
    await asyncio.gather(run("one", "info"), run("two", "debug"))
    assert logging.getLogger("farm").level == before

    def texts(name: str) -> set[str]:
        lines = (tmp_path / name / "farm.log").read_text().splitlines()
        return {line.partition(": ")[2] for line in lines}

    shared = {"a thread of nobody's, beside one", "a thread of nobody's, beside two"}
    assert texts("one") == {"a thread of one", *shared}
    assert texts("two") == {"detail of two", "a thread of two", *shared}


def test_without_a_folder_there_is_only_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """For commands that have no output."""
    output = start_logging(None)
    log.warning("beware")
    output.close()
    assert "beware" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OutputUnwritable, match=r"farm\.log cannot be written .*; check the folder's permissions"
    ):
        start_logging(tmp_path / "file", stderr=False)


class Stuck(logging.Handler):
    """A handler that waits, as a pipe does that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.texts: list[str] = []
        self.taken = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, once it may."""
        self.begun.set()
        self.gate.wait()
        self.texts.append(record.getMessage())
        self.taken.release()


def overfull() -> tuple[Stuck, LogOutput]:
    """Log fifty lines more than may wait, to a handler that is stuck at the first."""
    stuck = Stuck()
    output = LogOutput([stuck], logging.INFO)
    log.info("first")
    assert stuck.begun.wait(20)
    for number in range(10_050):
        log.info("line %d", number)
    return stuck, output


def test_a_pipe_that_nobody_reads_holds_up_nobody() -> None:
    """What is too much is dropped and counted, and closing has a deadline."""
    stuck, output = overfull()
    output.close(0.01)
    stuck.gate.set()


def test_dropped_lines_are_counted_once_there_is_room() -> None:
    """So that nobody takes the log for complete."""
    stuck, output = overfull()
    stuck.gate.set()
    for _ in range(10_001):
        assert stuck.taken.acquire(timeout=20)
    log.info("last")
    output.close(20)
    assert stuck.texts[-2:] == ["50 log lines were dropped: whoever reads the log is too slow", "last"]


def test_a_closed_pipe_silences_standard_error_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`farm run | head`: the file goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        output = start_logging(tmp_path)
        log.info("one")
        log.info("two")
        output.close()
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            pipe.close()
    assert len((tmp_path / "farm.log").read_text().splitlines()) == 2


HOSTILE = "\x1b[2J\x9b31m\u202egnp.exe\u2066\r\n2026-01-01 forged\u2028\u0085\x00\x07\ud800é漢"


def test_nothing_from_outside_moves_the_cursor_or_forges_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site says what it likes: in titles, URLs, certificates, errors; in a traceback too."""
    output = start_logging(tmp_path)
    log.warning("the site said %s", HOSTILE)
    try:
        json.loads(HOSTILE)
    except ValueError:
        log.exception("it failed")
    log.error("it failed", exc_info=ValueError(HOSTILE))
    output.close()
    text = (tmp_path / "farm.log").read_text(encoding="utf-8")
    assert "\\x1b[2J\\x9b31m\\u202egnp.exe" in text
    assert "é漢" in text
    for shown in (text, capsys.readouterr().err):
        lines = shown.split("\n")
        assert all(line.isprintable() for line in lines)
        assert not [line for line in lines if line.startswith("2026-01-01")]
    assert sum(line[:2] == "20" for line in text.split("\n")) == 3


def test_json_lines_are_one_line_each_whoever_splits_them(tmp_path: Path) -> None:
    """And the text is what it was, as far as JSON can hold it."""
    output = start_logging(tmp_path, form="json", stderr=False)
    log.warning("%s", HOSTILE.replace("\ud800", "\U000e0041"))
    log.warning("%s", HOSTILE, extra={"facts": {"large": 1 << 70}})
    output.close()
    text = (tmp_path / "farm.log").read_text(encoding="utf-8")
    first, second = (json.loads(line) for line in text.splitlines())
    assert all(line.isprintable() for line in text.splitlines())
    assert first["text"] == HOSTILE.replace("\ud800", "\U000e0041")
    assert "\\ud800" in second["text"]
    assert second["large"] == str(1 << 70)


def test_the_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    """Somebody who may write to the folder could have any file of ours appended to."""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "farm.log").symlink_to(tmp_path / "target")
    with pytest.raises(OutputUnwritable, match=r"farm\.log cannot be written"):
        start_logging(tmp_path)
    assert (tmp_path / "target").read_text() == "mine"


def test_a_full_disk_does_not_hide_what_the_run_ended_with() -> None:
    """Closing the file writes what is buffered, and fails as every line before."""

    class Full(logging.FileHandler):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
            failed.set()

    failed = threading.Event()
    output = LogOutput([Full("/dev/full")], logging.INFO)
    log.info("one")
    assert failed.wait(20)
    output.close()


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (
            VisitFailed(1.0, "c1", URL, "timeout", "no answer\nat all", Fate.DEAD),
            logging.WARNING,
            f"gave up {URL} (timeout: no answer at all)",
        ),
        (VisitFailed(1.0, "c1", URL, "crash", "", Fate.RETRY), logging.INFO, f"will try {URL} again (crash)"),
        (
            VisitFailed(1.0, "c1", URL, "lost", "", Fate.LOST),
            logging.WARNING,
            f"{URL}: the lease was lost during the visit; no record is written",
        ),
        (VisitFailed(1.0, "c1", URL, "drain", "", Fate.RELEASED), logging.DEBUG, f"gave back {URL} (drain)"),
        (Recycled(1.0, "engine", "e1", "crash", 90), logging.INFO, "replaced engine e1 (crash)"),
        (Recycled(1.0, "context", "c1", "pages", 9), logging.DEBUG, "replaced context c1 (pages)"),
        (RedisAway(5.0, 4.0, "Redis is away"), logging.WARNING, "Redis is away"),
        (RedisBack(9.0, "Redis is back"), logging.INFO, "Redis is back"),
        (SinkAway(9.0, 4.0, "db", "locked\n"), logging.WARNING, "waiting for db since 5s: locked "),
        (SinkBack(9.0, "db", 12.3), logging.INFO, "db takes records again, after 12s"),
        (Notice(1.0, "error", "no room"), logging.ERROR, "no room"),
        (Notice(1.0, "odd", "100 %s"), logging.INFO, "100 %s"),
    ],
)
def test_events_that_somebody_may_want_to_read_are_logged(
    event: Event, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With their facts, for a log of JSON."""
    emit: Emit = log_event
    with caplog.at_level(logging.DEBUG, "farm"):
        emit(event)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, text)
    facts = record.__dict__["facts"]
    assert "at" not in facts
    assert facts


def test_a_page_that_is_done_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """The progress line counts it."""
    with caplog.at_level(logging.DEBUG, "farm"):
        log_event(PageDone(1.0, "c1", URL, 200, 1, 1, settled=True))
    assert caplog.records == []

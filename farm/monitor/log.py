"""The log: `farm.log` in the output folder, and standard error unless the live view has the terminal.

Events are log records too, so that they reach both alike, as text or as JSON. A separate thread writes the
records. A pipe that nobody reads (`farm run … | less`) or a slow disk blocks that thread and never the event loop
that renews the leases; when too much waits, records are dropped and counted.
"""

import contextlib
import logging
import os
import queue
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Literal, Protocol, TextIO

import orjson

from farm.model.errors import OutputUnwritable
from farm.model.text import printable_json
from farm.monitor.figures import escaped
from farm.resources.files import opened

Form = Literal["text", "json"]

LOG_NAME = "farm.log"
FAILURE_REPORT = "failure-"
"""What the names of reports of unexpected failures begin with."""
_WAITING = 10_000
_FILE_BYTES = 64 << 20
_FILES_KEPT = 2
_run: ContextVar[object] = ContextVar("run", default=None)
"""Identifies the run of this task, or of this thread; None if unknown."""


@contextlib.contextmanager
def logged_apart() -> Iterator[None]:
    """Keep log records of this context, and of tasks that it starts, out of the logs of other runs."""
    token = _run.set(object())
    try:
        yield
    finally:
        _run.reset(token)


def level_of(name: str) -> int:
    """Return the level of `--log-level`, as logging counts it."""
    return logging.getLevelNamesMapping()[name.upper()]


class LogOutput:
    """The log that was set up; `close` undoes that.

    With `libraries` false the root logger, which belongs to the importing program, is not changed. Records that
    another run logs apart are not included.
    """

    def __init__(self, handlers: Sequence[logging.Handler], level: int, *, libraries: bool = True) -> None:
        self._intake = _Intake(queue.Queue(_WAITING), _run.get(), level)
        self._writer = _Writer(self._intake.queue, *handlers)
        self._writer.start()
        farm, root = logging.getLogger("farm"), logging.getLogger()
        self._logger = root if libraries else farm
        others = [one for one in farm.handlers if isinstance(one, _Intake)]
        # Of several runs in one process the last to end restores what the first has found.
        self._intake.levels_before = others[0].levels_before if others else (farm.level, root.level)
        farm.setLevel(min([level, *(one.wanted for one in others)]))
        if libraries:
            # Only warnings of libraries; asyncio reports unretrieved exceptions there.
            root.setLevel(max(level, logging.WARNING))
        self._logger.addHandler(self._intake)

    def close(self, deadline_s: float = 2.0) -> None:
        """Write the waiting records and close the files; after the deadline close them anyway."""
        farm, root = logging.getLogger("farm"), logging.getLogger()
        self._logger.removeHandler(self._intake)
        others = [one.wanted for one in farm.handlers if isinstance(one, _Intake)]
        farm.setLevel(min(others) if others else self._intake.levels_before[0])
        if self._logger is root:
            root.setLevel(self._intake.levels_before[1])
        self._writer.stop_within(deadline_s)


def start_logging(
    folder: Path | None,
    *,
    level: str = "info",
    form: Form = "text",
    stderr: bool = True,
    libraries: bool = True,
) -> LogOutput:
    """Log to `farm.log` in the folder, if one is given, and to standard error, if that is wanted.

    Standard error shows a failure as one line; its traceback is in the file. `libraries` says whether records of
    other packages are included.
    """
    handlers: list[logging.Handler] = []
    if folder is not None:
        path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _QuietFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
        except OSError as error:
            raise OutputUnwritable(
                f"{path} cannot be written ({error.strerror}); "
                "check the folder's permissions or choose another --output"
            ) from error
        file.setFormatter(JsonLines() if form == "json" else TextLines())
        handlers.append(file)
    if stderr:
        stream = _QuietStream(sys.stderr)
        stream.setFormatter(JsonLines() if form == "json" else TextLines(is_short=True))
        handlers.append(stream)
    return LogOutput(handlers, logging.getLevelNamesMapping()[level.upper()], libraries=libraries)


class TextLines(logging.Formatter):
    """`2026-03-01T12:00:00.123Z warning farm.worker: …`; short: the time of day, no logger, no traceback."""

    def __init__(self, *, is_short: bool = False) -> None:
        super().__init__()
        self._is_short = is_short

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, and a traceback after it where there is one, indented.

        Nothing that came from outside can move a terminal's cursor, turn the reading direction or look like a
        line of its own.
        """
        level, text = record.levelname.lower(), escaped(record.getMessage())
        if self._is_short:
            at = datetime.fromtimestamp(record.created, UTC).astimezone()
            return f"{at:%H:%M:%S} {level:<7} {text}"
        line = f"{_moment(record)} {level:<7} {record.name}: {text}"
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(f"    {escaped(one)}" for one in trace)])


class JsonLines(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `text`, the facts of an event, a `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        line: dict[str, object] = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            line.update({name: value for name, value in facts.items() if name not in line})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # Control characters below U+0020 are escaped by JSON itself; the others are here.
        try:
            text = orjson.dumps(line, default=str).decode()
        except TypeError:
            # Half of a surrogate pair, or a number beyond 64 bits.
            text = orjson.dumps({name: escaped(str(value)) for name, value in line.items()}).decode()
        return printable_json(text)


class _Intake(QueueHandler):
    """Accepts records without waiting; if the queue is full, a record is dropped and counted."""

    _dropped = 0
    levels_before = (logging.NOTSET, logging.WARNING)

    def __init__(self, waiting: "queue.Queue[logging.LogRecord]", run: object, wanted: int) -> None:
        super().__init__(waiting)
        self.wanted = wanted
        """The lowest level of the farm's own lines."""
        self._run = run

    def filter(self, record: logging.LogRecord) -> bool:
        # The logger of the farm has the level of the run that wants most.
        run = _run.get()
        is_own = run is None or self._run is None or run is self._run
        return is_own and record.levelno >= self.wanted and bool(super().filter(record))

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # As it is: the writer is a thread of this process, and each output formats the traceback its own way.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._dropped:
                self.queue.put_nowait(_dropped_record(self._dropped))
                self._dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1


class _Writer(QueueListener):
    """The thread that writes; the `stop` of its base class would wait for ever for a pipe that nobody reads."""

    def stop_within(self, deadline_s: float) -> None:
        """End after the waiting records and close the handlers; after the deadline abandon the daemon thread."""
        thread = self._thread
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self.enqueue_sentinel()
        thread.join(deadline_s)
        if not thread.is_alive():
            self._thread = None
            for handler in self.handlers:
                # Closing writes what is buffered: on a full disk it fails as each line did, and the run's own
                # error is the one to tell.
                with contextlib.suppress(OSError):
                    handler.close()


class _Failing(Protocol):
    """A handler that failed to write."""

    def setLevel(self, level: int) -> None: ...  # noqa: N802


def _silence(handler: _Failing) -> None:
    # A full disk or a closed pipe: the sink says so for the records, and the log need not repeat it
    # for each of its own lines, least of all to the terminal.
    handler.setLevel(logging.CRITICAL + 1)


class _QuietFile(RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        # Never through a link that another user may have created.
        file = os.fdopen(opened(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
        return TextIOWrapper(file, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        _silence(self)


class _QuietStream(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        _silence(self)


def _dropped_record(number: int) -> logging.LogRecord:
    text = f"{number} log lines were dropped: whoever reads the log is too slow"
    return logging.LogRecord("farm.log", logging.WARNING, __file__, 0, text, None, None)


def _moment(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"

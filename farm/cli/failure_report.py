"""Failure reports: an unexpected exception becomes one file, with the facts that explain it, and one line.

The file has the versions, the traceback, the settings and the end of the log, and no secrets: values that the
settings mask are masked everywhere in it. It is in the output folder of the run, else among the temporary files.
"""

import errno
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm import __version__
from farm.cli.streams import tell
from farm.model.errors import FarmError, OutputUnwritable, UsageError
from farm.model.secret import Secret, without_secrets
from farm.monitor.log import FAILURE_REPORT, LOG_NAME
from farm.resources.files import create_anew

if TYPE_CHECKING:
    from farm.app.preflight import RunPlan

FAILED = 1
"""The exit code of an unexpected exception."""
LOG_BYTES, LOG_LINES = 1 << 16, 200
TRACEBACK_CHARS = 200_000
MOST_REPORTS = 10
SECRET_CHARS = 4
"""Shorter values are not masked, since they are parts of many words."""
PACKAGES = ("playwright", "redis", "uvloop", "pydantic", "aiohttp", "lxml")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_runs: list["RunPlan"] = []
"""The run of this process, once it has started."""


def begun(plan: "RunPlan") -> None:
    """Note the run to which later failures belong."""
    _runs[:] = [plan]


def of_the_machine(error: Exception) -> FarmError | None:
    """Return the error that the state of the machine is to a user; None for any other exception.

    A full disk and a missing folder show themselves wherever a file is opened, and are no fault of the farm's.
    """
    if not isinstance(error, OSError):
        return None
    if error.errno in _FULL:
        return OutputUnwritable(
            f"{error.filename or 'A file'} cannot be written ({error.strerror}); free some space, or choose other "
            "folders by --output and TMPDIR."
        )
    if isinstance(error, FileNotFoundError) and _is_missing(Path.cwd):
        return UsageError("The current folder does not exist any more; change to another one.")
    if isinstance(error, FileNotFoundError) and _is_missing(tempfile.gettempdir):
        return OutputUnwritable(
            "No folder for temporary files can be written to; free some space in /tmp, or name another by TMPDIR."
        )
    return None


def _is_missing(find: Callable[[], object]) -> bool:
    try:
        find()
    except FileNotFoundError:
        return True
    return False


def report(error: Exception, arguments: Sequence[str]) -> int:
    """Write the report and print its path; return the exit code.

    If it cannot be written, the traceback is printed.
    """
    plan = _runs[0] if _runs else None
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    try:
        path = _write(_text(error, arguments, plan), plan)
    except OSError:
        traceback.print_exception(error)
        return FAILED
    secrets = list(_secrets(plan))
    what = without_secrets(what, secrets)[:300]
    tell(
        f"an unexpected error: {what}; {path} has what is needed to find it, secrets masked: please "
        "report it."
    )
    return FAILED


def _text(error: Exception, arguments: Sequence[str], plan: "RunPlan | None") -> str:
    parts = {
        "what": f"farm {' '.join(_named(arguments))}\n{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "versions": "\n".join(_versions(plan)),
        "error": "".join(traceback.format_exception(error))[-TRACEBACK_CHARS:],
    }
    if plan is not None:
        parts["settings"] = json.dumps(plan.settings.model_dump(mode="json"), indent=2)
        parts["log"] = _end_of_log(plan.output)
    text = "\n\n".join(f"{name}\n{'-' * len(name)}\n{part.strip()}" for name, part in parts.items())
    return without_secrets(text, list(_secrets(plan))) + "\n"


def _named(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the command and its flags without their values, which may be secret."""
    for at, one in enumerate(arguments):
        if at == 0 or one.startswith("-"):
            yield one.partition("=")[0] if one.startswith("-") or one.isalpha() else "..."


def _versions(plan: "RunPlan | None") -> Iterator[str]:
    yield f"farm {__version__}"
    yield f"Python {platform.python_version()} on {platform.platform()}"
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            yield f"{name} {metadata.version(name)}"
    if plan is not None and plan.binary is not None:
        yield f"browser {plan.binary.path}"


def _end_of_log(output: Path) -> str:
    try:
        with (output / LOG_NAME).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            lines = file.read(LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return "(none)"
    return "\n".join(lines[-LOG_LINES:])


def _secrets(plan: "RunPlan | None") -> Iterator[str]:
    """Yield the values that the settings mask, the longest first."""
    if plan is None:
        return
    from farm.app.rendering import secret_texts

    found: set[str] = set(secret_texts(plan.secrets))
    values: list[Any] = list(dict(plan.settings).values())
    for value in [one for held in values for one in (held if isinstance(held, tuple) else (held,))]:
        reveal = getattr(value, "reveal", None)
        if reveal is not None and str(value) != (text := reveal()):
            found |= {text, _password(text)}
            if isinstance(value, Secret):
                found.add(text.partition(": ")[2])
    yield from sorted((one for one in found if len(one) >= SECRET_CHARS), key=len, reverse=True)


def _password(url: str) -> str:
    userinfo, at, _ = url.partition("://")[2].rpartition("@")
    return userinfo.partition(":")[2] if at else ""


def _write(text: str, plan: "RunPlan | None") -> Path:
    """Write the report into a new file that this user alone may read; return where it is. Raises OSError."""
    stamp = f"{FAILURE_REPORT}{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    if plan is None or plan.is_temporary or not plan.output.is_dir():
        descriptor, name = tempfile.mkstemp(prefix=f"farm-{FAILURE_REPORT}", suffix=".txt")
        path = Path(name)
    else:
        path = plan.output / stamp
        descriptor = create_anew(path, 0o600)
        _keep_last(plan.output)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path


def _keep_last(folder: Path) -> None:
    """Remove all but the last reports: a supervisor may start a run again and again."""
    for path in sorted(folder.glob(f"{FAILURE_REPORT}*.txt"))[:-MOST_REPORTS]:
        with suppress(OSError):
            path.unlink()


def is_debugged() -> bool:
    """Return whether the traceback should be printed: `python -X dev`."""
    return sys.flags.dev_mode

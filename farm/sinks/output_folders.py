"""The output folders of crawls below a folder, and the state that their last runs left."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from farm.model.crawl import Ledger
from farm.model.errors import UsageError
from farm.resources.files import folder_bytes, is_locked

DEEPEST = 4
"""How many folders below the given one are searched."""
MOST_FOLDERS = 20_000
_SUMMARY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """The output folder of a crawl; unknown values are empty or None.

    `state` is `running` while a run holds the folder, `interrupted` without a summary, else the exit reason of the
    last run; `ledger` is that of the last run.
    """

    crawl: str
    path: str
    state: str
    ledger: Ledger | None
    size_bytes: int
    finished_at: datetime | None


def output_folders(folders: Sequence[str], private: str) -> list[OutputFolder]:
    """Return the output folders in these, by path: those that have a folder named `private`.

    Raises UsageError for a path that is not a folder, or contains too many folders.
    """
    found: set[Path] = set()
    for text in folders:
        if not Path(text).is_dir():
            raise UsageError(f"There is no folder {text}; name one that has output folders in it.")
        found.update(_found(Path(text), private))
    return [_read(path, private) for path in sorted(found)]


def _found(top: Path, private: str) -> Iterator[Path]:
    """Yield the output folders; folders inside an output folder are not searched."""
    for looked_at, (text, names, _) in enumerate(os.walk(top)):
        if looked_at == MOST_FOLDERS:
            raise UsageError(
                f"There are more than {MOST_FOLDERS:,} folders in {top}; name one that has fewer in it."
            )
        path = Path(text)
        if private in names:
            names.clear()
            yield path
        elif len(path.relative_to(top).parts) >= DEEPEST:
            names.clear()
        else:
            names[:] = [name for name in names if not name.startswith(".")]


def _read(path: Path, private: str) -> OutputFolder:
    crawl, state, ledger, finished_at = "", "interrupted", None, None
    summary = _summary(path / "summary.json")
    try:
        finished_at = datetime.fromisoformat(summary["finished_at"])
        ledger = Ledger(**{name: _count(value) for name, value in summary["ledger"].items()})
        crawl, state = str(summary["crawl"]), str(summary["exit_reason"])
    except (AttributeError, KeyError, TypeError, ValueError):
        # None yet, or a file that another program has made.
        finished_at = ledger = None
    if is_locked(path / private / "lock"):
        state = "running"
    return OutputFolder(crawl, str(path), state, ledger, folder_bytes(path), finished_at)


def _count(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("not a count")
    return value


def _summary(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _SUMMARY_BYTES:
            return {}
        read = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}

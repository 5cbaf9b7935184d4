"""The port of every source of records, and the conversion of stored values to those of records.

A source is read twice: once for the few columns that decide which of several records of a page is selected, and
once for the selected records, so that memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from farm.model.errors import UsageError
from farm.model.record import COLUMNS, ITEM_KEYS
from farm.sinks.item_values import FIELDS
from farm.sinks.record import timestamp

StoredRecord = Mapping[str, Any]
"""A record by its columns, as in `pages.jsonl`; a column that its store lacks is missing."""
Wanted = Iterator[tuple[int, str]]
"""The places of records in a source, from 0 and ascending, with their ids."""
File = TypeVar("File")
_MOMENT_CHARS = len("2026-03-01T12:00:00.123Z")
HEAD_COLUMNS = ("id", "url", "status", "revision", "fetched_at")
NEEDED = frozenset({"id", "url", "fetched_at"})
"""The columns that every record has."""


@dataclass(frozen=True, slots=True)
class Head:
    """The columns of a record that decide whether it is selected; `fetched_at` sorts as a text."""

    id: str
    url: str
    status: int | None
    revision: int
    fetched_at: str

    @classmethod
    def of(cls, record: StoredRecord) -> "Head | None":
        """Return that of a record; None if what is given is none."""
        id_, url, moment = record.get("id"), record.get("url"), record.get("fetched_at")
        status, revision = record.get("status"), record.get("revision") or 0
        if not (
            isinstance(id_, str) and isinstance(url, str) and isinstance(moment, str) and _is_moment(moment)
        ):
            return None
        if not (isinstance(revision, int) and (status is None or isinstance(status, int))):
            return None
        return cls(id_, url, status, revision, moment)


class Source(Protocol):
    """A store of records. It only raises UsageError: it cannot be read, or contains something else."""

    name: str
    folder: Path
    """The output folder, where the files are that records name; as far as it is known."""

    @property
    def share(self) -> float:
        """The progress of the current reading, from 0 to 1."""
        ...

    def heads(self) -> Iterator[Head]:
        """Yield the head of every record; the first one is at place 0."""
        ...

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. One that was removed meanwhile is left out, or raises UsageError."""
        ...

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items, with the keys of `ITEM_KEYS`; none where there are none."""
        ...


def _is_moment(text: str) -> bool:
    try:
        return len(text) == _MOMENT_CHARS and text.endswith("Z") and datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def rows_at(
    files: Sequence[File],
    counts: Sequence[int],
    wanted: Wanted,
    rows_of: Callable[[File], Iterable[StoredRecord]],
    name: str,
) -> Iterator[StoredRecord]:
    """Yield the rows of files at the wanted places; the first row of the first file is at place 0.

    `counts` are the rows of the files, as far as they were counted: of these a file is not read that has no wanted
    row. Raises UsageError where another row stands at a place.
    """
    changed = UsageError(f"{name} was changed while it was read; do it again when that is over.")
    following = next(wanted, None)
    start = 0
    for number, file in enumerate(files):
        if following is None:
            return
        count = counts[number] if number < len(counts) else None
        if count is not None and following[0] >= start + count:
            start += count
            continue
        read = 0
        for read, row in enumerate(islice(rows_of(file), count), 1):
            if start + read - 1 == following[0]:
                if row.get("id") != following[1]:
                    raise changed
                yield row
                following = next(wanted, None)
                if following is None:
                    return
        start += read if count is None else count
    if following is not None:
        raise changed


def unreadable(name: object, why: str) -> UsageError:
    """Return the error of a source that cannot be read."""
    return UsageError(f"{name} cannot be read ({why}); check it, or leave it out.")


def from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of typed columns as a record; columns that are not declared are left out.

    Raises ValueError if a `json` column has a text that is not JSON.
    """
    return {column.name: _plain(row[column.name], column.type) for column in COLUMNS if column.name in row}


def item_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of items without the fields that are null, those of other kinds among them.

    If the sink knew no fields, one column has all of them as JSON.
    """
    item = {
        name: timestamp(value.astimezone(UTC)) if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None or name in ITEM_KEYS
    }
    if item.keys() - ITEM_KEYS == {FIELDS} and isinstance(item[FIELDS], str):
        try:
            fields = orjson.loads(item[FIELDS])
        except ValueError:
            return item
        if isinstance(fields, dict):
            del item[FIELDS]
            item |= {name: value for name, value in fields.items() if name not in ITEM_KEYS}
    return item


def _plain(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "json":
        return orjson.loads(value) if isinstance(value, str) else value
    if kind == "boolean":
        return bool(value)
    if kind == "timestamp" and isinstance(value, datetime):
        return timestamp(value.astimezone(UTC))
    return value

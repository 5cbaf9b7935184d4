"""A record as a row of typed columns, for the stores that have a table or columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from farm.model.errors import RenderError
from farm.model.outcome import FailureKind
from farm.model.record import COLUMNS, Batch, Record
from farm.model.text import well_formed
from farm.sinks.record import json_line

Row = tuple[str | int | bool | None, ...]
TABLE = "pages"
_REVISION = [column.name for column in COLUMNS].index("revision")
_IS_ID = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES = 500_000_000
"""The most bytes of one row: no database holds a value of a gigabyte, and some fail on half of one."""
_INTEGERS = range(-(1 << 63), 1 << 63)


def rows_of(batch: Batch, *, nul: bool = True) -> tuple[list[Row], int]:
    """Return the rows of a batch, values in the order of `COLUMNS`, and about their bytes.

    `json` columns are texts of JSON, `timestamp` ones texts as in every record. Without `nul` the character U+0000
    becomes U+FFFD. Raises `RenderError` of kind `corrupt` for a record that cannot be written as a row.
    """
    rows: list[Row] = []
    total_bytes = 0
    for record in batch.records:
        row = _row(record, nul=nul)
        size_bytes = sum(len(value) for value in row if isinstance(value, str))
        if size_bytes > _MOST_BYTES:
            raise _corrupt(f"it has {size_bytes:,} characters; at most {_MOST_BYTES:,} are possible")
        rows.append(row)
        total_bytes += size_bytes
    return rows, total_bytes


def last_of_each(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with each id once: that of the highest revision, and of those the last one."""
    found: dict[Any, Row] = {}
    for row in rows:
        if row[0] not in found or (row[_REVISION] or 0) >= (found[row[0]][_REVISION] or 0):  # type: ignore[operator]
            found[row[0]] = row
    return list(found.values())


def _row(record: Record, *, nul: bool) -> Row:
    if not _IS_ID.fullmatch(record.id):
        raise _corrupt(f"the id {record.id} does not have 32 hex digits")
    fields: Mapping[str, Any] = record.fields
    return tuple(typed_value(fields.get(column.name), column.type, nul=nul) for column in COLUMNS)


def typed_value(value: Any, kind: str, *, nul: bool = True) -> str | int | bool | None:
    """Return a value for a column of this type, a `json` one as a text. Raises like `rows_of`."""
    if value is None:
        return None
    if kind == "json":
        return _json(value, nul=nul)
    if kind in {"text", "timestamp"}:
        return _text(value, nul=nul)
    if not isinstance(value, int) or value not in _INTEGERS:
        raise _corrupt(f"{str(value)[:40]!r} is not an integer of 64 bits")
    return bool(value) if kind == "boolean" else int(value)


def _text(value: Any, *, nul: bool) -> str:
    if not isinstance(value, str):
        raise _corrupt(f"{type(value).__name__} is not a text")
    text = well_formed(value)
    return text if nul or "\0" not in text else text.replace("\0", "\ufffd")


def _json(value: Any, *, nul: bool) -> str:
    try:
        text = json_line(value)[:-1].decode()
    except ValueError as error:
        raise _corrupt(str(error)) from error
    if nul or "\\u0000" not in text:
        return text
    # JSON has the character as an escape only: meanwhile it can stand for two backslashes, which escape nothing.
    return text.replace("\\\\", "\0").replace("\\u0000", "\\ufffd").replace("\0", "\\\\")


def _corrupt(why: str) -> RenderError:
    return RenderError(FailureKind.CORRUPT, f"the record cannot be written as a row ({why})")

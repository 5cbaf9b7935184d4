"""Writers of records and links in each format. Each returns the number of written rows."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from farm.export.source import StoredRecord
from farm.model.errors import RenderError, UsageError
from farm.model.record import COLUMNS, ITEM_KEYS
from farm.resources.files import create_anew
from farm.sinks.csv_file import csv_row
from farm.sinks.item_values import MOST_COLUMNS, plain_value
from farm.sinks.record import json_line
from farm.sinks.rows import typed_value

_TYPES = {column.name: column.type for column in COLUMNS}
LINK_COLUMNS = ("source", "target", "text", "rel")
FILE_BYTES = 512 * 2**20
"""The size at which a Parquet file is finished, and another started."""


def write_jsonl(records: Iterable[StoredRecord], names: Sequence[str], out: BinaryIO) -> int:
    """Write a line of JSON a record, with these columns in this order."""
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007
        out.write(_line(record, {name: record.get(name) for name in names}))
    return count


def write_csv(
    records: Iterable[StoredRecord], names: Sequence[str], out: BinaryIO, *, escape_formulas: bool = False
) -> int:
    """Write a row a record under a header."""
    texts = {place for place, name in enumerate(names) if escape_formulas and _TYPES[name] == "text"}
    out.write(csv_row(names))
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007
        row = _row(record, names, nul=False)
        out.write(csv_row((row[name] for name in names), texts=texts))
    return count


def write_parquet(records: Iterable[StoredRecord], names: Sequence[str], folder: Path) -> int:
    """Write files of row groups into a folder: `part-000001.parquet` and so on."""
    from farm.sinks.parquet import write_rows

    rows = _Counted(_row(record, names) for record in records)
    number = 0
    while number == 0 or rows.is_more():
        number += 1
        path = folder / f"part-{number:06}.parquet"
        with os.fdopen(create_anew(path), "wb") as file:
            write_rows(rows.until(lambda file=file: file.tell() >= FILE_BYTES), file, names)
            file.flush()
            os.fsync(file.fileno())
    return rows.count


def write_links(
    records: Iterable[StoredRecord], out: BinaryIO, *, as_csv: bool, escape_formulas: bool = False
) -> int:
    """Write the links of the pages, each with the page that has it, as lines of JSON or as rows."""
    if as_csv:
        out.write(csv_row(LINK_COLUMNS))
    count = 0
    for record in records:
        for link in _links(record):
            count += 1
            if as_csv:
                row = [typed_value(link[name], "text", nul=False) for name in LINK_COLUMNS]
                out.write(csv_row(row, texts=range(len(row) if escape_formulas else 0)))
            else:
                out.write(_line(record, link))
    return count


def field_names(items: Iterable[StoredRecord]) -> list[str]:
    """Return the fields of all items, the common ones first. Raises UsageError if they are too many."""
    names = dict.fromkeys(ITEM_KEYS)
    for item in items:
        names |= dict.fromkeys(item)
        if len(names) > MOST_COLUMNS:
            raise UsageError(
                f"The items have more than {MOST_COLUMNS:,} fields; name some of them by --columns."
            )
    return list(names)


def write_items_jsonl(items: Iterable[StoredRecord], names: Sequence[str], out: BinaryIO) -> int:
    """Write a line of JSON for each item, with these fields in this order; without `names` with all its fields."""
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007
        out.write(_line(item, {name: item.get(name) for name in names} if names else item))
    return count


def write_items_csv(
    items: Iterable[StoredRecord], names: Sequence[str], out: BinaryIO, *, escape_formulas: bool = False
) -> int:
    """Write a row an item under a header; lists and objects are JSON."""
    texts = {place for place, name in enumerate(names) if escape_formulas and name not in ITEM_KEYS}
    out.write(csv_row(str(name) for name in names))
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007
        try:
            cells = [plain_value(item.get(name)) for name in names]
        except RenderError as error:
            raise _unwritable(item, error.detail) from None
        out.write(csv_row((_without_nul(cell) for cell in cells), texts=texts))
    return count


def _without_nul(cell: Any) -> Any:
    return cell.replace("\0", "\ufffd") if isinstance(cell, str) else cell


class _Counted:
    """Rows that are taken in parts."""

    def __init__(self, rows: Iterator[Mapping[str, Any]]) -> None:
        self._rows = rows
        self._next: Mapping[str, Any] | None = None
        self.count = 0

    def is_more(self) -> bool:
        """Return whether a row is left."""
        if self._next is None:
            self._next = next(self._rows, None)
        return self._next is not None

    def until(self, is_enough: Any) -> Iterator[Mapping[str, Any]]:
        """Yield rows as long as it is not enough."""
        while self.is_more() and self._next is not None:
            row, self._next = self._next, None
            self.count += 1
            yield row
            if is_enough():
                return


def _row(
    record: StoredRecord, names: Sequence[str], *, nul: bool = True
) -> dict[str, str | int | bool | None]:
    try:
        return {name: typed_value(record.get(name), _TYPES[name], nul=nul) for name in names}
    except RenderError as error:
        raise _unwritable(record, error.detail) from None


def _line(record: StoredRecord, fields: Mapping[str, Any]) -> bytes:
    try:
        return json_line(fields)
    except ValueError as error:
        raise _unwritable(record, str(error)) from None


def _links(record: StoredRecord) -> Iterator[dict[str, Any]]:
    links = record.get("links") or ()
    if not isinstance(links, list | tuple) or not all(isinstance(one, dict) for one in links):
        raise _unwritable(record, "its links are not a list of objects")
    for link in links:
        said = {"target": link.get("url"), "text": link.get("text"), "rel": link.get("rel")}
        yield {
            "source": record["url"],
            **{name: "" if one is None else str(one) for name, one in said.items()},
        }


def _unwritable(record: StoredRecord, why: str) -> UsageError:
    return UsageError(
        f"The record of {record.get('url') or record.get('_url')!s:.300} cannot be written ({why}); leave it out."
    )

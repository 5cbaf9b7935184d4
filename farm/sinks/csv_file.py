"""The CSV store: a row a record under a header, by RFC 4180 with newlines of one character.

Null is an empty field, an empty text is `""`. The columns are those of the header: a file from an earlier version
keeps its columns.
"""

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from farm.model.errors import OutputUnwritable
from farm.model.record import COLUMNS, ITEM_KEYS, Batch, Record
from farm.resources.files import opened
from farm.sinks.frames import CsvFraming
from farm.sinks.item_values import FIELDS, plain_value
from farm.sinks.items import ItemLog
from farm.sinks.log_file import LogStore
from farm.sinks.log_index import KEY_BYTES
from farm.sinks.rows import rows_of

_PLACES = {column.name: place for place, column in enumerate(COLUMNS)}
_TEXTS = frozenset(column.name for column in COLUMNS if column.type == "text")
_ID = re.compile(rb"([0-9a-f]{32}),")
_ITEM_ID = re.compile(rb"([0-9a-f]{32}-[0-9]{1,9}),")
_LONGEST_HEADER = 1 << 16
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters at which formulas of a spreadsheet begin."""


class CsvStore(LogStore):
    """The rows of the file at `path`; `escape_formulas` puts a quote before texts that look like formulas."""

    kind = "csv"

    def __init__(
        self, path: Path, private: Path, *, escape_formulas: bool = False, rotate_bytes: int = 0
    ) -> None:
        super().__init__(path, private, framing=CsvFraming(), rotate_bytes=rotate_bytes)
        self._escapes = escape_formulas
        self._take_columns(tuple(_PLACES))

    def open(self) -> None:
        """Open the file with the columns that it has. Raises `OutputUnwritable` if it is not the farm's."""
        line = _header_of(self._path)
        names = tuple(line.decode("utf-8", "replace").rstrip("\n").split(","))
        if line.endswith(b"\n") and names[0] == "id" and set(names) <= _PLACES.keys():
            self._take_columns(names)
        super().open()

    def entry(self, record: Record) -> bytes:
        """Return the row. Raises `RenderError` for a record that cannot be written as one."""
        rows, _ = rows_of(Batch([record]), nul=False)
        return csv_row((rows[0][_PLACES[name]] for name in self._columns), texts=self._texts)

    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of a row."""
        found = _ID.match(entry)
        key = bytes.fromhex(found[1].decode()) if found is not None else b""
        return key if len(key) == KEY_BYTES else None

    def _take_columns(self, names: tuple[str, ...]) -> None:
        self._columns = names
        self._texts = {place for place, name in enumerate(names) if self._escapes and name in _TEXTS}
        self.header = (",".join(names) + "\n").encode()


class CsvItems(ItemLog):
    """The items beside such a file: a row each under the declared fields; lists and objects are JSON.

    Without a declaration a last column has all fields as JSON.
    """

    def __init__(
        self,
        path: Path,
        private: Path,
        fields: Sequence[str] | None,
        *,
        escape_formulas: bool = False,
        rotate_bytes: int = 0,
    ) -> None:
        super().__init__(path, private, framing=CsvFraming(), rotate_bytes=rotate_bytes)
        self._names = (*ITEM_KEYS, *((FIELDS,) if fields is None else fields))
        self._is_declared = fields is not None
        self._texts = range(len(ITEM_KEYS), len(self._names)) if escape_formulas else range(0)
        self.header = (",".join(self._names) + "\n").encode()

    def open(self) -> None:
        """Open the file. Raises `OutputUnwritable`, also if its items have other fields."""
        found = _header_of(self._path)
        if found.startswith(b"_id,") and found.endswith(b"\n") and found != self.header:
            raise OutputUnwritable(
                f"{self._path} has items with other fields than these; move it away, or choose another --sink"
            )
        super().open()

    def item_entry(self, item: Mapping[str, Any]) -> bytes:
        """Return the row. Raises `RenderError`."""
        if not self._is_declared:
            own = {name: value for name, value in item.items() if name not in ITEM_KEYS}
            item = {**item, FIELDS: own}
        values = (plain_value(item.get(name)) for name in self._names)
        return csv_row(
            (value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values),
            texts=self._texts,
        )

    def item_id(self, entry: bytes) -> bytes | None:
        """Return the `_id` of a row."""
        found = _ITEM_ID.match(entry)
        return None if found is None else found[1]


def _header_of(path: Path) -> bytes:
    """Return the first line of a file, empty if there is none. Raises `OutputUnwritable`."""
    try:
        # Opening a pipe would wait for its writer.
        with os.fdopen(opened(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.readline(_LONGEST_HEADER)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be read ({error.strerror}); check its permissions, or choose another --sink"
        ) from error


def csv_row(cells: Iterable[str | int | float | bool | None], *, texts: Container[int] = ()) -> bytes:
    """Return values as a row; texts in these places that look like formulas are prefixed by a quote."""
    shown = (_cell(value, escapes_formulas=place in texts) for place, value in enumerate(cells))
    return (",".join(shown) + "\n").encode()


def _cell(value: str | float | bool | None, *, escapes_formulas: bool) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value).lower()
    if escapes_formulas and value.startswith(FORMULA):
        value = f"'{value}"
    if not value or _needs_quotes(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _needs_quotes(value: str) -> bool:
    """Return whether the value must be quoted; a pattern would take 50 ms a megabyte."""
    return any(char in value for char in '",\r\n') or value[0].isspace() or value[-1].isspace()

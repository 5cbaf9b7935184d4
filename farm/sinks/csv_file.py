"""The CSV store: a row a record under a header, by RFC 4180 with newlines of one character.

What is null is an empty field, an empty text is `""`. The columns are those of the header: a file that an earlier
farm has begun keeps its own.
"""

import os
import re
from pathlib import Path

from farm.model.errors import OutputUnwritable
from farm.model.record import COLUMNS, Batch, Record
from farm.resources.files import opened
from farm.sinks.frames import CsvFraming
from farm.sinks.jsonl import LogStore
from farm.sinks.log_index import KEY_BYTES
from farm.sinks.rows import rows_of

_PLACES = {column.name: place for place, column in enumerate(COLUMNS)}
_TEXTS = frozenset(column.name for column in COLUMNS if column.type == "text")
_ID = re.compile(rb"([0-9a-f]{32}),")
_LONGEST_HEADER = 1 << 16
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


class CsvStore(LogStore):
    """The rows of the file at `path`; by `escape_formulas` texts that begin as formulas do get a quote before."""

    kind = "csv"

    def __init__(
        self, path: Path, private: Path, *, escape_formulas: bool = False, rotate_bytes: int = 0
    ) -> None:
        super().__init__(path, private, framing=CsvFraming(), rotate_bytes=rotate_bytes)
        self._escapes = escape_formulas
        self._take_columns(tuple(_PLACES))

    def open(self) -> None:
        """Open the file with the columns that it has. Raises `OutputUnwritable` where it is none of ours."""
        try:
            # Opening a pipe would wait for its writer.
            with os.fdopen(opened(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                line = file.readline(_LONGEST_HEADER)
        except FileNotFoundError:
            line = b""
        except OSError as error:
            raise OutputUnwritable(
                f"{self._path} cannot be read ({error.strerror}); see to its permissions, or choose another --sink"
            ) from error
        names = tuple(line.decode("utf-8", "replace").rstrip("\n").split(","))
        if line.endswith(b"\n") and names[0] == "id" and set(names) <= _PLACES.keys():
            self._take_columns(names)
        super().open()

    def entry(self, record: Record) -> bytes:
        """Return the row. Raises `RenderError` for a record that cannot be one."""
        rows, _ = rows_of(Batch([record]), nul=False)
        cells = (self._cell(rows[0][_PLACES[name]], name) for name in self._columns)
        return (",".join(cells) + "\n").encode()

    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of a row."""
        found = _ID.match(entry)
        key = bytes.fromhex(found[1].decode()) if found is not None else b""
        return key if len(key) == KEY_BYTES else None

    def _take_columns(self, names: tuple[str, ...]) -> None:
        self._columns = names
        self.header = (",".join(names) + "\n").encode()

    def _cell(self, value: str | int | bool | None, name: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            return str(value).lower()
        if self._escapes and name in _TEXTS and value.startswith(FORMULA):
            value = f"'{value}"
        if not value or _needs_quotes(value):
            return '"' + value.replace('"', '""') + '"'
        return value


def _needs_quotes(value: str) -> bool:
    """Return whether a reader could take the value for something else; a pattern would take 50 ms a megabyte."""
    return any(char in value for char in '",\r\n') or value[0].isspace() or value[-1].isspace()

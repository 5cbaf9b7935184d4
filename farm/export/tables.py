"""Tables as a source: a SQLite file, a PostgreSQL database.

The selected records of a database are fetched by their ids, some at a time, so that nothing is held in memory or
locked for the duration of an export; if a run replaces a record meanwhile, the newer one is returned.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from farm.export.source import HEAD_COLUMNS, NEEDED, Head, StoredRecord, Wanted, from_row, item_of, unreadable
from farm.model.errors import UsageError
from farm.model.record import COLUMNS, ITEM_KEYS
from farm.model.secret import SecretUrl
from farm.sinks.item_values import ITEMS
from farm.sinks.rows import TABLE

_LOCK_WAIT_S = 10.0
_AT_ONCE = 50
"""Rows of a server in one answer: a few megabytes each at most."""
_HEADS_AT_ONCE = 10_000
ITEMS_AT_ONCE = 500
"""The same for items, which may be as long as pages but usually have a few hundred bytes."""


def head_of(row: Mapping[str, Any], name: str) -> Head:
    """Return the head of a row. Raises UsageError if it is no record."""
    head = Head.of(from_row({column: row[column] for column in HEAD_COLUMNS if column in row}))
    if head is None:
        raise UsageError(f"{name} has a row in {TABLE} that is not a record of a page ({str(row)[:80]}).")
    return head


def decoded(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a row as a record. Raises UsageError."""
    try:
        return from_row(row)
    except ValueError as error:
        raise unreadable(name, f"the row {row.get('id')!s:.40} has a text that is not JSON") from error


class SqliteTables:
    """The tables `pages` and `items` of a SQLite file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.folder = path.parent
        self._path = path
        self._read = self._total = 0
        with self._opened() as connection:
            self._columns = self._columns_of(connection, TABLE)
        if not self._columns.keys() >= NEEDED:
            raise UsageError(
                f"{path} has no table {TABLE} with {', '.join(sorted(NEEDED))}; give another file."
            )

    @property
    def share(self) -> float:
        """How many of its rows were read."""
        return min(1.0, self._read / max(1, self._total))

    def heads(self) -> Iterator[Head]:
        """Yield the head of every row, in the order of the table."""
        names = [name for name in HEAD_COLUMNS if name in self._columns]
        with self._opened() as connection:
            self._read, self._total = 0, connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]  # noqa: S608
            for row in connection.execute(f"SELECT {_quoted(names)} FROM {TABLE} ORDER BY rowid"):  # noqa: S608
                self._read += 1
                yield head_of(dict(zip(names, row, strict=True)), self.name)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the rows with these ids."""
        names = [column.name for column in COLUMNS if column.name in self._columns]
        ask = f"SELECT {_quoted(names)} FROM {TABLE} WHERE id = ?"  # noqa: S608
        with self._opened() as connection:
            for place, id_ in wanted:
                self._read = place
                for row in connection.execute(ask, [id_]):
                    yield decoded(dict(zip(names, row, strict=True)), self.name)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items; lists and objects are texts of JSON."""
        with self._opened() as connection:
            names = list(self._columns_of(connection, ITEMS))
            if not set(names) >= set(ITEM_KEYS):
                return
            for row in connection.execute(f"SELECT {_quoted(names)} FROM {ITEMS} ORDER BY rowid"):  # noqa: S608
                yield item_of(dict(zip(names, row, strict=True)))

    @staticmethod
    def _columns_of(connection: sqlite3.Connection, table: str) -> dict[str, str]:
        return {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            raise unreadable(self._path, "there is no such file")
        try:
            # Only read: a file that is none of ours must not be changed, and a folder may be read-only.
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT_S)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise unreadable(self._path, str(error)) from None


class PostgresTables:
    """The tables `pages` and `items` of a database; libpq supplies what the URL leaves out."""

    def __init__(self, url: SecretUrl) -> None:
        from farm.sinks.postgres import PostgresReader

        self._database = PostgresReader(url)
        self.name = self._database.name
        self.folder = Path()
        self._read = self._total = 0
        self._columns = self._database.columns(TABLE)
        if not set(self._columns) >= NEEDED:
            raise UsageError(
                f"{self.name} has no table {TABLE} with {', '.join(sorted(NEEDED))}; give another database."
            )

    @property
    def share(self) -> float:
        """How many of its rows were read."""
        return min(1.0, self._read / max(1, self._total))

    def heads(self) -> Iterator[Head]:
        """Yield the head of every row."""
        self._read, self._total = 0, self._database.count(TABLE)
        names = [name for name in HEAD_COLUMNS if name in self._columns]
        for row in self._database.rows(TABLE, names, at_once=_HEADS_AT_ONCE):
            self._read += 1
            yield head_of(row, self.name)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the rows with these ids."""
        names = [column.name for column in COLUMNS if column.name in self._columns]
        while batch := list(islice(wanted, _AT_ONCE)):
            self._read = batch[-1][0]
            found = {
                row["id"]: row for row in self._database.rows_of(TABLE, names, [id_ for _, id_ in batch])
            }
            for _, id_ in batch:
                if id_ in found:
                    yield decoded(found[id_], self.name)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items."""
        names = self._database.columns(ITEMS)
        if set(names) >= set(ITEM_KEYS):
            for row in self._database.rows(ITEMS, names, at_once=ITEMS_AT_ONCE):
                yield item_of(row)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)

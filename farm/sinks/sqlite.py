"""The SQLite store: a table `pages` in a file, a row a record, the id its primary key.

A group is one transaction, synced before it counts (WAL, `synchronous=FULL`). A row whose id comes again is
replaced, unless the one that is there is of a later revision. Several programs may have the file open: who finds
it locked waits. Columns that a later farm adds are added to the table; those that it does not know are left alone.
"""

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import COLUMNS, ITEM_KEYS, Batch
from farm.resources.files import sync_folder
from farm.sinks.item_values import ITEMS, check_columns, plain_value, rows_of_items
from farm.sinks.rows import TABLE, Row, rows_of
from farm.sinks.store import StoreAway

_LOCK_WAIT_S = 1.0
_TYPES = {"text": "TEXT", "timestamp": "TEXT", "json": "TEXT", "integer": "INTEGER", "boolean": "INTEGER"}
_AWAY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_Encoded = tuple[Sequence[Row], Sequence[tuple[str, int, Sequence[Mapping[str, Any]]]]]
"""The rows of pages, and the items of each page with its id and its revision."""
_PAGE_FAULTS = {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
"""What a value causes: another page's may fit."""
_LOW_BYTE = 0xFF
"""SQLite's error codes have the kind of error in it, and above it what exactly."""

_NAMES = ", ".join(f'"{column.name}"' for column in COLUMNS)
_PLACES = ", ".join("?" * len(COLUMNS))
_REPLACED = ", ".join(f'"{column.name}" = excluded."{column.name}"' for column in COLUMNS[1:])
_UPSERT = (
    f"INSERT INTO {TABLE} ({_NAMES}) VALUES ({_PLACES}) ON CONFLICT (id) DO UPDATE SET {_REPLACED} "  # noqa: S608
    f"WHERE excluded.revision >= coalesce({TABLE}.revision, 0)"
)


class SqliteStore:
    """The table in the file at `path`, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"sqlite:///{path}"
        self.item_place = f"the table {ITEMS} of {self.name}"
        self.written = 0
        self.records: int | None = None

    def clear(self) -> None:
        """Leave the table as it is: it may have the records of other crawls, and ids that come again replace."""

    def open(self) -> None:
        """Open the file and complete the table. Raises `OutputUnwritable` if that cannot be done."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self._path.exists()
            self._connection = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise OutputUnwritable(self._sentence(getattr(error, "strerror", None) or str(error))) from error
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._complete_table()
            if is_new:
                sync_folder(self._path.parent)
            self._file = self._path.stat()
        except OSError as error:
            self.close()
            raise OutputUnwritable(self._sentence(error.strerror or str(error))) from error
        except sqlite3.Error as error:
            self.close()
            raise self._translated(error) from error
        except OutputUnwritable:
            self.close()
            raise

    def encode(self, batch: Batch) -> tuple[_Encoded, int]:
        """Return the rows of a batch, and about their bytes."""
        rows, size_bytes = rows_of(batch)
        items = []
        for record in batch.records:
            if record.items is not None:
                values = [
                    {name: plain_value(value) for name, value in one.items()}
                    for one in rows_of_items(record) or ()
                ]
                size_bytes += sum(
                    len(one) for each in values for one in each.values() if isinstance(one, str)
                )
                items.append((record.id, record.fields.get("revision") or 0, values))
        return (rows, items), size_bytes

    def write(self, group: Sequence[_Encoded]) -> None:
        """Write rows and items in one transaction.

        Raises `StoreAway` while the file is locked, and `RenderError` where it refuses a value.
        """
        rows = [row for rows, _ in group for row in rows]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_UPSERT, rows)
            for _, items in group:
                for page_id, revision, values in items:
                    self._replace_items(page_id, revision, values)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, RenderError) as error:
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if isinstance(error, RenderError):
                raise
            raise self._translated(error) from error
        # Checked last: confirmed rows must be in the file that readers open.
        if not self._is_in_place():
            raise OutputUnwritable(
                f"{self._path} was moved or removed while the farm was writing to it; leave the files of a crawl "
                "alone until it has ended, and start it again"
            )
        self.written += len({row[0] for row in rows})

    def close(self) -> None:
        """Close the file; the write-ahead log becomes part of it."""
        self._connection.close()

    def _complete_table(self) -> None:
        execute = self._connection.execute
        # The lock is taken before the look, so that two farms do not add the same column.
        execute("BEGIN IMMEDIATE")
        declared = ", ".join(
            f'"{column.name}" {_TYPES[column.type]}{" NOT NULL PRIMARY KEY" if column.name == "id" else ""}'
            for column in COLUMNS
        )
        execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({declared})")
        found = {row[1].lower(): row[2] for row in execute(f"PRAGMA table_info({TABLE})")}
        for column in COLUMNS:
            wanted = _TYPES[column.type]
            if column.name not in found:
                execute(f'ALTER TABLE {TABLE} ADD COLUMN "{column.name}" {wanted}')
            elif found[column.name] and _affinity(found[column.name]) != wanted:
                raise OutputUnwritable(
                    f"{self._path} has a table {TABLE} whose column {column.name} is {found[column.name]} where "
                    f"{wanted} is needed; rename that table, or name another file"
                )
        try:
            execute(f"EXPLAIN {_UPSERT}", [None] * len(COLUMNS))
        except sqlite3.OperationalError:
            raise OutputUnwritable(
                f"{self._path} has a table {TABLE} without a primary key on id; "
                "rename that table, or name another file"
            ) from None
        execute("COMMIT")

    def _replace_items(self, page_id: str, revision: int, items: Sequence[Mapping[str, Any]]) -> None:
        """Replace the items of a page, unless the page that is there is of a later revision."""
        execute = self._connection.execute
        found = execute(f"SELECT revision FROM {TABLE} WHERE id = ?", [page_id]).fetchone()  # noqa: S608
        if found is not None and (found[0] or 0) > revision:
            return
        columns = {_folded(row[1]) for row in execute(f"PRAGMA table_info({ITEMS})")}
        if not columns:
            keys = ", ".join(
                f'"{name}" TEXT{" NOT NULL PRIMARY KEY" if name == "_id" else ""}' for name in ITEM_KEYS
            )
            execute(f"CREATE TABLE {ITEMS} ({keys})")
            columns = {*ITEM_KEYS}
        execute(f"CREATE INDEX IF NOT EXISTS items_page ON {ITEMS} (_page_id)")
        execute(f"DELETE FROM {ITEMS} WHERE _page_id = ?", [page_id])  # noqa: S608
        for item in items:
            for name in item:
                if _folded(name) not in columns:
                    columns.add(_folded(name))
                    check_columns(columns)
                    execute(f"ALTER TABLE {ITEMS} ADD COLUMN {_quoted(name)}")
            names, places = ", ".join(map(_quoted, item)), ", ".join("?" * len(item))
            execute(f"INSERT OR REPLACE INTO {ITEMS} ({names}) VALUES ({places})", [*item.values()])  # noqa: S608

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), self._file)
        except OSError:
            # Its folder may be a file now, or may not be entered any more.
            return False

    def _translated(self, error: sqlite3.Error) -> OutputUnwritable | RenderError:
        code = getattr(error, "sqlite_errorcode", 0) & _LOW_BYTE
        if code in _PAGE_FAULTS:
            return RenderError(FailureKind.CORRUPT, f"{self._path} does not take the record ({error})")
        if code in _AWAY:
            return StoreAway(f"{self._path} is locked by another program ({error})")
        if code == sqlite3.SQLITE_NOTADB:
            return OutputUnwritable(
                f"{self._path} is not a SQLite database; move it away, or name another file"
            )
        return OutputUnwritable(self._sentence(str(error)))

    def _sentence(self, why: str) -> str:
        remedy = "free some space and check its permissions, or name another file"
        return f"{self._path} cannot be written ({why}); {remedy}"


def _folded(name: str) -> str:
    """Return a name as SQLite compares it: only the letters of ASCII are the same in both cases."""
    return name.encode().lower().decode()


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _affinity(declared: str) -> str:
    """Return what SQLite makes of a declared type, by section 3.1 of its "Datatypes" document."""
    upper = declared.upper()
    if "INT" in upper:
        return "INTEGER"
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    # BOOLEAN and JSON are NUMERIC: the first holds 0 and 1 as they are, the second would not hold texts so.
    return "INTEGER" if upper.startswith("BOOL") else upper

"""The table `items` of a PostgreSQL database: the items of pages, replaced with their pages in one transaction.

A field is a column of the type that it is declared with; without a declaration texts are text, and everything else
is jsonb. Invariants: the items of a page are those of the rendering whose row is in `pages`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import ITEM_KEYS, Batch, ItemColumns, Record
from farm.sinks.item_values import ITEMS, as_json, check_columns, plain_value, rows_of_items
from farm.sinks.rows import TABLE

Connection = psycopg.Connection[tuple[Any, ...]]
PageItems = tuple[str, int, Sequence[Mapping[str, Any]]]
"""A page's id, its revision and its items."""
_TYPES: Mapping[str, LiteralString] = {
    "text": "text",
    "number": "double precision",
    "integer": "bigint",
    "boolean": "boolean",
    "json": "jsonb",
}
_ABOUT: dict[str, LiteralString] = {
    **dict.fromkeys(ITEM_KEYS, "text"),
    "_fetched_at": "timestamp with time zone",
}
LOCK_KEY = 0x6661726D
"""The advisory lock under which tables are completed: nodes that start together do it one after the other."""
_OWN = frozenset(("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"))
"""Columns that every table has, and that none can be given (5.6 of PostgreSQL's manual, "System Columns")."""
_SHOWN_CHARS = 60
_TEXTS = ("text", "character varying")
_COLUMNS = (
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
# The rows of these pages are this transaction's since they were written, whether they were replaced or not.
_CURRENT = sql.SQL(
    "SELECT given.id FROM unnest(%s::text[], %s::bigint[]) AS given (id, revision) "
    "JOIN {} AS page ON page.id = given.id WHERE coalesce(page.revision, 0) <= given.revision"
).format(sql.Identifier(TABLE))
_ITEMS = sql.Identifier(ITEMS)


def items_of(batch: Batch) -> tuple[list[PageItems], int]:
    """Return the items of each record that was read for them, and about their bytes. Raises `RenderError`."""
    found = [_of_record(record) for record in batch.records if record.items is not None]
    sizes = (
        len(value) for _, _, items in found for item in items for value in item.values() if _is_text(value)
    )
    return found, sum(sizes)


class ItemTable:
    """The table, as the last connection knows it."""

    def __init__(self, name: str, declared: ItemColumns | None) -> None:
        self._name = name
        self._declared = declared or {}
        self._columns: dict[str, str] = {}

    def check_declared(self) -> None:
        """Raise `OutputUnwritable` if a declared field cannot be a column."""
        for name in sorted(_OWN & self._declared.keys()):
            raise OutputUnwritable(
                f"{self._name} cannot hold the field {name}, because every table of PostgreSQL has a column of "
                "this name; name the field otherwise in the declaration"
            )

    def forget(self) -> None:
        """Read the table's columns again on next use: the connection is a new one."""
        self._columns = {}

    def replace(self, connection: Connection, pages: Sequence[PageItems]) -> None:
        """Replace the items of these pages, in the transaction that has written their rows.

        A page with a later revision is not changed. Raises `psycopg.Error`, `RenderError` for
        values that the table cannot hold, and `OutputUnwritable` if the table is not the farm's.
        """
        if not self._columns:
            self._look(connection)
        if not self._columns and not any(items for _, _, items in pages):
            return
        # Of two renderings in a group the later one counts, as it does for the row.
        last: dict[str, PageItems] = {}
        for page in pages:
            if page[0] not in last or page[1] >= last[page[0]][1]:
                last[page[0]] = page
        revisions = [revision for _, revision, _ in last.values()]
        found = connection.execute(_CURRENT, [[*last], revisions]).fetchall()
        kept = {id_: last[id_] for (id_,) in found}
        rows = [item for _, _, items in kept.values() for item in items]
        self._complete(connection, rows)
        connection.execute(sql.SQL("DELETE FROM {} WHERE _page_id = ANY(%s)").format(_ITEMS), [[*kept]])
        if not rows:
            return
        # A field that was null in all items so far has no column.
        names = list(dict.fromkeys(name for row in rows for name in row if name in self._columns))
        encoders = [self._encoder(name) for name in names]
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(_ITEMS, listed)) as copy,
        ):
            for row in rows:
                copy.write_row([encode(row.get(name)) for name, encode in zip(names, encoders, strict=True)])

    def _complete(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Create the table and missing columns: those that are declared, and those of these items."""
        wanted = {name: _TYPES[kind] for name, kind in self._declared.items()} | _ABOUT
        for row in rows:
            for name, value in row.items():
                if name not in wanted and value is not None:
                    wanted[name] = "text" if isinstance(value, str) else "jsonb"
        if wanted.keys() <= self._columns.keys():
            return
        for name in sorted(_OWN & wanted.keys()):
            why = f"every table of PostgreSQL has a column {name}; name the field otherwise"
            raise RenderError(FailureKind.CORRUPT, f"{self._name} does not take the items ({why})")
        check_columns({*wanted, *self._columns})
        # Of nodes that begin together one makes the table.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        made = sql.SQL("CREATE TABLE IF NOT EXISTS {} (_id text PRIMARY KEY, _page_id text)").format(_ITEMS)
        added = sql.SQL(", ").join(
            sql.SQL("ADD COLUMN IF NOT EXISTS {} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in wanted.items()
            if name not in self._columns
        )
        if not self._columns:
            connection.execute(made)
            connection.execute(
                sql.SQL("CREATE INDEX IF NOT EXISTS items_page ON {} (_page_id)").format(_ITEMS)
            )
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(_ITEMS, added))
        # Another node may have added one of them with another type.
        self._look(connection)

    def _look(self, connection: Connection) -> None:
        """Learn which columns the table has. Raises `OutputUnwritable` if one of the farm's is another."""
        self._columns = dict(connection.execute(_COLUMNS, [ITEMS]).fetchall())
        for name, kind in _ABOUT.items():
            if self._columns.get(name, kind) not in {kind, *_TEXTS}:
                raise OutputUnwritable(
                    f"{self._name} has a table {ITEMS} whose column {name} is {self._columns[name]} where {kind} "
                    "is needed; rename that table, or name another schema by ?options=-csearch_path%3DSCHEMA"
                )

    def _encoder(self, name: str) -> Callable[[Any], Any]:
        """Return the function that converts a value for the column; it raises `RenderError`."""
        kind = self._columns[name]
        if kind in {"jsonb", "json"}:
            return _as_json
        if kind in {*_TEXTS, "timestamp with time zone"}:
            return _as_text

        def same(value: Any) -> Any:
            fits = isinstance(value, bool) if kind == "boolean" else _is_number(value)
            if value is not None and not fits:
                why = f"its column {ITEMS}.{name} is {kind}, and the value is {str(value)[:_SHOWN_CHARS]!r}"
                raise RenderError(FailureKind.CORRUPT, f"{self._name} does not take the items ({why})")
            return value

        return same


def _of_record(record: Record) -> PageItems:
    return record.id, record.fields.get("revision") or 0, rows_of_items(record) or ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    plain = plain_value(value)
    text = plain if isinstance(plain, str) else as_json(plain)
    return text.replace("\0", "\ufffd")


def _as_json(value: Any) -> str | None:
    if value is None:
        return None
    # JSON has the character as an escape only, and jsonb cannot hold it.
    return as_json(value).replace("\\\\", "\0").replace("\\u0000", "\\ufffd").replace("\0", "\\\\")

"""The PostgreSQL store: a table `pages`, a row a record, the id its primary key.

A group is one transaction: copied into a temporary table and from there into `pages`, where a row whose id comes
again is replaced, unless the existing one is of a later revision; its items are replaced with it. One row without
items is one statement, in a third of the time. A group that fails half-way is repeated as a whole.
Invariants: no message contains the password.

The temporary table and the settings are the connection's, made once. Behind a pooler that gives each transaction
another connection they do not persist; then each transaction creates them for itself, and leaves nothing behind.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.abc import RV, PQGen

from farm.model.errors import OutputUnwritable, RenderError, UsageError
from farm.model.outcome import FailureKind
from farm.model.record import COLUMNS, Batch, ItemColumns
from farm.model.secret import MASK, SecretUrl
from farm.sinks.item_values import ITEMS
from farm.sinks.postgres_items import LOCK_KEY, Connection, ItemTable, PageItems, items_of
from farm.sinks.rows import TABLE, Row, last_of_each, rows_of
from farm.sinks.store import StoreAway

_Encoded = tuple[Sequence[Row], Sequence[PageItems]]
"""The rows of pages, and their items."""
_STATEMENT_S = 60
ANSWER_S = 75.0
"""How long an answer may take; the server itself ends statements earlier."""
_SILENT = "no answer in time"
_LOCK_S = 10
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "crawl-farm",
    # Without an answer of its machine for 20 s a connection counts as lost.
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Parameters of a connection that the URL may override."""
_TEXT_CHARS = 300
_PORTS = range(1, 1 << 16)

_TYPES: dict[str, tuple[LiteralString, ...]] = {
    "text": ("text", "character varying"),
    "timestamp": ("timestamp with time zone",),
    "json": ("jsonb", "json"),
    "integer": ("bigint", "numeric"),
    "boolean": ("boolean",),
}
"""Type of a column -> the type of a new column, and other types that can hold its values."""
_FINAL = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|not permitted|"
    r"certificate|does not support SSL|server does not support"
)
"""Reasons for which a server refuses a connection permanently; there is no code for them."""
_PAGE_FAULTS = ("22", "54")
"""Classes of errors that a value causes: data exceptions, limits of the program."""
_AWAY = ("08", "40", "53", "55", "57", "58", "25006", "XX")
"""Classes of errors, and one error (read-only), that may be temporary."""

_NAMES = sql.SQL(", ").join(sql.Identifier(column.name) for column in COLUMNS)
_REPLACED = sql.SQL(", ").join(
    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column.name)) for column in COLUMNS[1:]
)
_REVISED = sql.SQL(
    "ON CONFLICT (id) DO UPDATE SET {replaced} WHERE excluded.revision >= coalesce({table}.revision, 0)"
).format(table=sql.Identifier(TABLE), replaced=_REPLACED)
_COPY = sql.SQL("COPY farm_pages ({}) FROM STDIN").format(_NAMES)
# In the order of the ids, so that two nodes do not wait for each other's rows.
_UPSERT = sql.SQL("INSERT INTO {} ({names}) SELECT {names} FROM farm_pages ORDER BY id {}").format(
    sql.Identifier(TABLE), _REVISED, names=_NAMES
)
# The setting is empty, and unknown on a connection that was not set up: then the statement fails.
_UPSERT_ONE = sql.SQL("INSERT INTO {} ({}) VALUES (%s || current_setting('crawl_farm.set_up'){}) {}").format(
    sql.Identifier(TABLE), _NAMES, sql.SQL(", %s" * (len(COLUMNS) - 1)), _REVISED
)
_STAGING, _STAGING_ONCE = (
    sql.SQL("CREATE TEMPORARY TABLE farm_pages ON COMMIT {} AS SELECT {} FROM {} WITH NO DATA").format(
        at_end, _NAMES, sql.Identifier(TABLE)
    )
    for at_end in (sql.SQL("DELETE ROWS"), sql.SQL("DROP"))
)
# Of another transaction's, which began before it was known that there is a pooler.
_UNSTAGING = sql.SQL("DROP TABLE IF EXISTS pg_temp.farm_pages")
_POOLED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
)
"""Errors that show that transactions have different connections; they have no code of their own."""
_FOUND = (
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)


def is_address(url: SecretUrl) -> bool:
    """Return whether the URL can be the address of a server."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url.reveal())
    except psycopg.ProgrammingError:
        return False
    ports = str(given.get("port") or "5432").split(",")
    return all(port.isdecimal() and int(port) in _PORTS for port in ports if port)


class _TimelyConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose answers come within `ANSWER_S`: a server that hangs keeps its connections open."""

    def wait(self, gen: PQGen[RV], *given: Any, **named: Any) -> RV:
        try:
            return super().wait(_in_time(gen), *given, **named)
        except psycopg.OperationalError as error:
            if str(error) == _SILENT:
                # Whoever takes the transaction back would wait as long again.
                self.pgconn.finish()
            raise


def _in_time(gen: PQGen[RV]) -> PQGen[RV]:
    """Drive a psycopg generator that waits for a server; raises OperationalError at the deadline."""
    until = monotonic() + ANSWER_S
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and monotonic() >= until:
                raise psycopg.OperationalError(_SILENT)
            state = gen.send(ready)
    except StopIteration as done:
        found: RV = done.value
        return found


class _Database:
    """The database at `url`; what the URL leaves out is as libpq has it (PGPASSWORD, ~/.pgpass)."""

    def __init__(self, url: SecretUrl) -> None:
        self.name = str(url).replace(f"{MASK}@", "").removesuffix(f"?{MASK}")
        given = psycopg.conninfo.conninfo_to_dict(url.reveal())
        self._password = str(given.get("password") or "")
        self._conninfo = psycopg.conninfo.make_conninfo("", **(_DEFAULTS | given))

    def _words(self, error: psycopg.Error) -> str:
        """Return the message of the server or the library, on one line, without the password."""
        text = error.diag.message_primary or str(error).strip() or type(error).__name__
        # Where a connection fails, the reason comes after this, for each address of the host; one says enough.
        text = (text.rpartition("failed: ")[2] or text).splitlines()[0].strip()[:_TEXT_CHARS]
        return text.replace(self._password, MASK) if self._password else text


class PostgresReader(_Database):
    """Reads the tables of a database, each call by a connection of its own. All raise UsageError."""

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns; none where there is no such table."""
        with self._connected() as connection:
            return [name for name, _ in connection.execute(_FOUND, [table]).fetchall()]

    def count(self, table: str) -> int:
        """Return about how many rows a table has, without reading it."""
        with self._connected() as connection:
            asked = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(%s)"
            found = connection.execute(asked, [table]).fetchone()
            return int(found[0]) if found else 0

    def rows(self, table: str, names: Sequence[str], at_once: int) -> Iterator[dict[str, Any]]:
        """Yield these columns of every row; `at_once` rows are in memory."""
        asked = sql.SQL("SELECT {} FROM {}").format(_listed(names), sql.Identifier(table))
        with self._connected() as connection, connection.cursor("farm_rows") as cursor:
            cursor.itersize = at_once
            for row in cursor.execute(asked):
                yield dict(zip(names, row, strict=True))

    def rows_of(self, table: str, names: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return these columns of the rows with these ids."""
        asked = sql.SQL("SELECT {} FROM {} WHERE id = ANY(%s)").format(_listed(names), sql.Identifier(table))
        with self._connected() as connection:
            found = connection.execute(asked, [list(ids)]).fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with _TimelyConnection.connect(self._conninfo) as connection:
                connection.execute(f"SET statement_timeout = '{_STATEMENT_S}s'")
                yield connection
        except psycopg.Error as error:
            raise UsageError(
                f"{self.name} cannot be read ({self._words(error)}); check the address and the user's rights."
            ) from None


def _listed(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


class PostgresStore(_Database):
    """The table in the database at `url`."""

    def __init__(self, url: SecretUrl, item_columns: ItemColumns | None = None) -> None:
        super().__init__(url)
        self.item_place = f"the table {ITEMS} of {self.name}"
        self.written = 0
        self.records: int | None = None
        self._connection: Connection | None = None
        self._items = ItemTable(self.name, item_columns)
        self._is_pooled = False

    def clear(self) -> None:
        """Do nothing: the table may have the records of other crawls, and repeated ids replace their rows."""

    def open(self) -> None:
        """Connect and complete the table. Raises `OutputUnwritable`, `StoreAway` if trying again may help."""
        self._items.check_declared()
        try:
            self._connection = _TimelyConnection.connect(self._conninfo, autocommit=True)
            if self._is_pooled:
                # A statement that is prepared on one connection is not known to the next.
                self._connection.prepare_threshold = None
            with self._connection.transaction():
                self._prepare(self._connection)
        except psycopg.Error as error:
            self.close()
            raise self._translated(error) from None
        except OutputUnwritable:
            self.close()
            raise

    def encode(self, batch: Batch) -> tuple[_Encoded, int]:
        """Return the rows and the items of a batch, and about their bytes."""
        (rows, row_bytes), (items, item_bytes) = rows_of(batch, nul=False), items_of(batch)
        return (rows, items), row_bytes + item_bytes

    def write(self, group: Sequence[_Encoded]) -> None:
        """Write rows and items in one transaction, by a new connection where the last one is lost.

        Raises `StoreAway` while the server is away, `RenderError` if it refuses a value.
        """
        rows = last_of_each([row for rows, _ in group for row in rows])
        items = [page for _, pages in group for page in pages]
        if self._connection is None:
            self.open()
        if (connection := self._connection) is None:
            raise AssertionError("an open store has a connection")
        try:
            if len(rows) == 1 and not items and not self._is_pooled:
                connection.execute(_UPSERT_ONE, rows[0])
            else:
                self._copy(connection, rows, items)
        except (RenderError, OutputUnwritable):
            self._items.forget()
            raise
        except psycopg.Error as error:
            translated = self._translated(error)
            if not self._is_pooled and isinstance(error, _POOLED):
                self._is_pooled, translated = True, StoreAway(f"{self.name} is behind a pooler")
            self._items.forget()
            if not isinstance(translated, RenderError):
                # Whatever state it is in: the group is repeated by a new connection.
                self.close()
            raise translated from None
        self.written += len(rows)

    def _copy(self, connection: Connection, rows: Sequence[Row], items: Sequence[PageItems]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            if self._is_pooled:
                self._set_up(connection)
                self._stage(connection)
            with cursor.copy(_COPY) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(_UPSERT)
            if items:
                self._items.replace(connection, items)

    def close(self) -> None:
        """End the connection."""
        # The next connection may be one to another server.
        self._items.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _prepare(self, connection: Connection) -> None:
        execute = connection.execute
        self._set_up(connection)
        execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        # Checked first: a user who may write to a table may not be allowed to create one.
        found: dict[str, str] = dict(execute(_FOUND, [TABLE]).fetchall())
        if not found:
            execute(sql.SQL("CREATE TABLE {} (id text PRIMARY KEY)").format(sql.Identifier(TABLE)))
            found = {"id": "text"}
        for column in COLUMNS:
            types = _TYPES[column.type]
            if column.name not in found:
                added = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
                names = sql.Identifier(TABLE), sql.Identifier(column.name)
                execute(added.format(*names, sql.SQL(types[0])))
            elif found[column.name] not in types:
                raise OutputUnwritable(
                    f"{self.name} has a table {TABLE} whose column {column.name} is {found[column.name]} where "
                    f"{types[0]} is needed; rename that table, or name another schema by "
                    "?options=-csearch_path%3DSCHEMA"
                )
        self._stage(connection)
        try:
            execute(sql.SQL("EXPLAIN ") + _UPSERT)
        except psycopg.errors.InvalidColumnReference:
            raise OutputUnwritable(
                f"{self.name} has a table {TABLE} without a primary key on id; rename that table, or add the key"
            ) from None

    def _set_up(self, connection: Connection) -> None:
        """Set the parameters of the connection; behind a pooler only those of the transaction."""
        connection.execute(
            "SELECT set_config('statement_timeout', %(statement)s, %(is_local)s), "
            "set_config('lock_timeout', %(lock)s, %(is_local)s), "
            # What is confirmed is on the server's disk, also where its default is faster and says so too early.
            "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
            "ELSE current_setting('synchronous_commit') END, %(is_local)s), "
            "CASE WHEN NOT %(is_local)s THEN set_config('crawl_farm.set_up', '', false) END",
            {"statement": f"{_STATEMENT_S}s", "lock": f"{_LOCK_S}s", "is_local": self._is_pooled},
        )

    def _stage(self, connection: Connection) -> None:
        """Create the table into which a group is copied."""
        if self._is_pooled:
            connection.execute(_UNSTAGING)
        connection.execute(_STAGING_ONCE if self._is_pooled else _STAGING)

    def _translated(self, error: psycopg.Error) -> OutputUnwritable | RenderError:
        code, why = error.sqlstate or "", self._words(error)
        if code.startswith(_PAGE_FAULTS):
            return RenderError(FailureKind.CORRUPT, f"{self.name} does not take the record ({why})")
        if code.startswith(_AWAY) or (not code and not _FINAL.search(why)):
            return StoreAway(f"{self.name} does not take records ({why})")
        return OutputUnwritable(
            f"{self.name} cannot be written to ({why}); check the address, the user's rights and the table"
        )

"""One row for each id from any number of sources: the highest revision, then the newest, then the first.

The index of records is in a temporary database on disk, which is removed with the process however it ends: memory
does not grow with the number of records.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Self

from farm.export.source import Head, Source, StoredRecord, unreadable
from farm.model.errors import OutputUnwritable

_AT_ONCE = 5_000
_CACHE_KIB = 32 * 1024
_SCHEMA = (
    "CREATE TABLE found (id TEXT PRIMARY KEY, revision INTEGER, fetched_at TEXT, source INTEGER, place INTEGER, "
    "kept INTEGER) WITHOUT ROWID"
)
_TAKE = (
    "INSERT INTO found VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, "
    "fetched_at = excluded.fetched_at, source = excluded.source, place = excluded.place, kept = excluded.kept "
    "WHERE (excluded.revision, excluded.fetched_at) > (revision, fetched_at)"
)
Keep = Callable[[Head], bool]
Tell = Callable[[float], None]
"""Called at intervals with the progress, from 0 to 1."""


class Merge:
    """The selected rows of the sources that pass the filter; a context manager.

    The filter applies to the selected row of each id. Raises UsageError if a source cannot be read,
    OutputUnwritable if the temporary database has no room.
    """

    def __init__(self, sources: Sequence[Source], keep: Keep, tell: Tell = lambda _: None) -> None:
        self._sources = sources
        self._keep = keep
        self._tell = tell
        self.read = 0
        """How many records the sources have, including those with the same id."""

    def __enter__(self) -> Self:
        """Read the heads of all sources."""
        # A file without a name, which spills from the cache to the folder for temporary files.
        self._database = sqlite3.connect("", isolation_level=None)
        try:
            with self._has_room():
                for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
                    self._database.execute(f"PRAGMA {pragma}")
                self._database.execute(_SCHEMA)
                self._database.execute("BEGIN")
                for number, source in enumerate(self._sources):
                    self._take(number, source)
                self._database.execute("CREATE INDEX places ON found (source, place) WHERE kept")
                self._database.execute("COMMIT")
        except BaseException:
            # Also at a Ctrl-C: without an end of `__enter__` there is no `__exit__`, and the file would stay.
            self._database.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the index."""
        self._database.close()

    def records(self) -> Iterator[StoredRecord]:
        """Yield the rows, in the order of the sources and within each in its own."""
        return (record for _, record in self.stored())

    def stored(self) -> Generator[tuple[Source, StoredRecord], None, None]:
        """Yield the rows, each with its source."""
        for number, source in enumerate(self._sources):
            with self._has_room():
                asked = "SELECT place, id FROM found WHERE source = ? AND kept ORDER BY place"
                wanted = iter(self._database.execute(asked, [number]))
                for record in source.records(wanted):
                    self._tell((1 + (number + source.share) / len(self._sources)) / 2)
                    yield source, record

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items of these rows, each id once: those of the same rendering as the selected row."""
        with self._has_room():
            self._database.execute("DROP TABLE IF EXISTS items")
            self._database.execute("CREATE TABLE items (id TEXT PRIMARY KEY) WITHOUT ROWID")
        for number, source in enumerate(self._sources):
            self._tell((1 + number / len(self._sources)) / 2)
            for item in source.items():
                with self._has_room():
                    is_new = self._is_of_a_row(item) and self._is_new(str(item["_id"]))
                if is_new:
                    yield item

    def _take(self, number: int, source: Source) -> None:
        heads = enumerate(source.heads())
        while batch := list(islice(heads, _AT_ONCE)):
            self.read += len(batch)
            self._database.executemany(
                _TAKE,
                (
                    (head.id, head.revision, head.fetched_at, number, place, self._keep(head))
                    for place, head in batch
                ),
            )
            self._tell((number + source.share) / len(self._sources) / 2)

    def _is_of_a_row(self, item: StoredRecord) -> bool:
        asked = "SELECT fetched_at FROM found WHERE id = ? AND kept"
        found = self._database.execute(asked, [str(item["_page_id"])]).fetchone()
        return found is not None and found[0] == item.get("_fetched_at")

    def _is_new(self, id_: str) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO items VALUES (?)", [id_]).rowcount == 1

    @contextmanager
    def _has_room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise no_room(error) from None
        except (OverflowError, UnicodeEncodeError, sqlite3.DataError) as error:
            raise unreadable("A source", str(error)) from None


def no_room(error: sqlite3.OperationalError) -> OutputUnwritable:
    """Return the error of a temporary file that cannot be written."""
    return OutputUnwritable(
        f"The temporary files cannot be written ({error}); free some space, or name another folder with TMPDIR."
    )

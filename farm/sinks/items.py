"""Items beside their pages: `items.jsonl`, and what a table of items holds.

The items of a page are durable before its record is: a page that a file has is never written again, and then its
items are there too. In a database both are one transaction, and the items of a page are replaced as a whole.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from farm.model.errors import RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.sinks.jsonl import JsonlStore, LogStore
from farm.sinks.log_index import KEY_BYTES
from farm.sinks.record import json_line

ITEMS = "items"
MOST_COLUMNS = 1_000
_NAME_BYTES = 63
"""Of a column's name: PostgreSQL cuts longer ones."""
_ID = re.compile(rb'\{"_id":"([0-9a-f]{32}-[0-9]{1,9})"')
_Entries = Sequence[tuple[bytes, bytes]]
_Encoded = tuple[_Entries, Sequence[tuple[bytes, _Entries]]]
"""The entries of pages, and those of the items of each page by its key."""


class _ItemLog(LogStore):
    """A line of JSON an item."""

    kind = "items"

    def entry(self, record: Record) -> bytes:
        """Return nothing: items are encoded by their pages."""
        raise NotImplementedError

    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of a line."""
        found = _ID.match(entry)
        if found:
            return _key(found[1])
        try:
            return _key(orjson.loads(entry)["_id"].encode())
        except (TypeError, ValueError, KeyError, AttributeError):
            return None


class JsonlWithItems:
    """A file of pages, and that of their items beside it, which is made with the first item."""

    def __init__(self, pages: JsonlStore, path: Path, private: Path, *, rotate_bytes: int = 0) -> None:
        self._pages = pages
        self._items = _ItemLog(items_path(path), private, rotate_bytes=rotate_bytes)
        self._is_open = False
        self.name = pages.name

    @property
    def records(self) -> int:
        """How many records the file of pages has."""
        return self._pages.records

    @property
    def written(self) -> int:
        """How many records were written since it was opened."""
        return self._pages.written

    def clear(self) -> None:
        """Remove both files. Raises `OutputUnwritable`."""
        self._pages.clear()
        self._items.clear()

    def open(self) -> None:
        """Open the file of pages. Raises `OutputUnwritable`."""
        self._pages.open()

    def encode(self, batch: Batch) -> tuple[_Encoded, int]:
        """Return the entries of a batch, and their bytes. Raises `RenderError` for what cannot be written."""
        pages, size_bytes = self._pages.encode(batch)
        items = []
        for (key, _), record in zip(pages, batch.records, strict=True):
            if record.items:
                lines = [(_key(one["_id"].encode()), _line(one)) for one in record.items]
                size_bytes += sum(len(line) for _, line in lines)
                items.append((key, lines))
        return (pages, items), size_bytes

    def write(self, group: Sequence[_Encoded]) -> None:
        """Write the items of new pages, and then the pages. Raises `OutputUnwritable`."""
        # Of a page that comes twice in a group the first counts, as it does for its record.
        fresh: dict[bytes, _Entries] = {}
        for pages, items in group:
            by_page = dict(items)
            for key, _ in pages:
                if key not in fresh and not self._pages.has(key):
                    fresh[key] = by_page.get(key, ())
        if any(fresh.values()):
            if not self._is_open:
                self._items.open()
                self._is_open = True
            self._items.write([*fresh.values()])
        self._pages.write([pages for pages, _ in group])

    def close(self) -> None:
        """Close the files."""
        self._pages.close()
        self._items.close()


def items_path(path: Path) -> Path:
    """Return where the items of a file of pages are: `items.jsonl`, `shop-items.jsonl.gz`."""
    stem, mark, suffix = path.name.partition(".")
    return path.with_name(f"{ITEMS if stem == 'pages' else f'{stem}-{ITEMS}'}{mark}{suffix}")


def rows_of_items(record: Record) -> Sequence[Mapping[str, Any]] | None:
    """Return the items of a record as rows; values are texts, numbers, booleans, or lists and objects.

    Raises `RenderError` for names that are none of a column.
    """
    for item in record.items or ():
        for name in item:
            if not name or "\0" in name or len(name.encode("utf-8", "replace")) > _NAME_BYTES:
                raise _corrupt(f"{name[:80]!r} is no name of a column")
    return record.items


def check_columns(names: Iterable[str]) -> None:
    """Raise `RenderError` where a table would have more columns than `MOST_COLUMNS`."""
    count = len({*names})
    if count > MOST_COLUMNS:
        raise _corrupt(f"its items would need {count:,} columns, and {MOST_COLUMNS:,} are the most")


def as_json(value: Any) -> str:
    """Return a list or an object as JSON. Raises `RenderError`."""
    return _line(value)[:-1].decode()


def _line(item: Any) -> bytes:
    try:
        return json_line(item)
    except ValueError as error:
        raise _corrupt(str(error)) from error


def _key(id_: bytes) -> bytes:
    return blake2b(id_, digest_size=KEY_BYTES).digest()


def _corrupt(why: str) -> RenderError:
    return RenderError(FailureKind.CORRUPT, f"an item cannot be written ({why})")

"""Items in a file beside the file of their pages.

The items of a page are durable before its record is: a page in the file is never written again, and its items are
in their file. Items that a kill left without their page are dropped when the files are opened again, so that a
page has the items of one rendering. In a database both are one transaction, and the items of a page are replaced
as a whole.
"""

import logging
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch, Record
from farm.sinks.append_log import Revised
from farm.sinks.compaction import AT_END_BYTES, replaced_items, replaced_pages
from farm.sinks.item_values import item_line
from farm.sinks.log_file import LogFile, LogStore
from farm.sinks.log_index import KEY_BYTES

log = logging.getLogger("farm.sinks")
_ID = re.compile(rb'\{"_id":"([0-9a-f]{32}-[0-9]{1,9})"')
_PAGE_DIGITS = 32
_MOST_LEFT = 1_000
"""How many pages' items a killed run can have left: a group of the writer has fewer pages."""
_Entries = Sequence[tuple[bytes, bytes]]
_Encoded = tuple[_Entries, Sequence[tuple[bytes, _Entries]]]
"""The entries of pages, and those of the items of each page by its key."""


class ItemLog(LogFile):
    """A file of items beside one of pages."""

    kind = "items"

    @abstractmethod
    def item_entry(self, item: Mapping[str, Any]) -> bytes:
        """Return an item in its written form. Raises `RenderError`."""

    @abstractmethod
    def item_id(self, entry: bytes) -> bytes | None:
        """Return the `_id` of a written item; None if it has none."""

    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of an entry."""
        found = self.item_id(entry)
        return None if found is None else _key(found)

    def entries(self, record: Record) -> _Entries:
        """Return the entries of a record's items with their keys. Raises `RenderError`.

        Those of a later revision replace the existing ones; without items, an entry with the number 0 does.
        """
        is_revised = bool(record.fields.get("revision"))
        items = record.items or ([{"_id": f"{record.id}-0"}] if is_revised and self.exists else ())
        entries = [(_key(one["_id"].encode()), self.item_entry(one)) for one in items]
        return [*map(Revised, entries)] if is_revised else entries

    def page_of(self, entry: bytes) -> bytes:
        """Return the key of an entry's page."""
        return bytes.fromhex((self.item_id(entry) or b"")[:_PAGE_DIGITS].decode())


class JsonItems(ItemLog):
    """A line of JSON an item."""

    def item_entry(self, item: Mapping[str, Any]) -> bytes:
        """Return the line."""
        return item_line(item)

    def item_id(self, entry: bytes) -> bytes | None:
        """Return the `_id` of a line."""
        found = _ID.match(entry)
        return None if found is None else found[1]


class LogWithItems:
    """A file of pages, and a file of their items beside it, which is created with the first item."""

    def __init__(self, pages: LogStore, items: ItemLog) -> None:
        self._pages = pages
        self._items = items
        self._is_open = False
        self.name = pages.name
        self.item_place = str(items.path)

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
        """Open the file of pages, and repair that of items. Raises `OutputUnwritable`.

        Entries that a killed run replaced but did not remove are removed.
        """
        self._open()
        if self._pages.repeated:
            self._compact()
            # Still open where the items could not be compacted.
            self._pages.close()
            self._open()

    def _open(self) -> None:
        self._pages.open()
        try:
            if self._items.exists:
                self._open_items()
                if not self._pages.was_shortened:
                    self._drop_left_items()
        except OutputUnwritable:
            self.close()
            raise

    def _compact(self) -> None:
        """Remove replaced entries.

        The items are removed first: they are known as long as the pages are there twice.
        """
        pages = self._pages.repeated
        try:
            if self._items.exists:
                self._open_items()
                self._is_open = False
                self._items.compact(replaced_items(pages, self._items.item_id))
            self._pages.compact(replaced_pages(pages))
        except (OSError, OutputUnwritable) as error:
            log.warning(
                "earlier revisions stay in %s (%s)", self.name, getattr(error, "strerror", None) or error
            )

    def _open_items(self) -> None:
        if not self._is_open:
            self._items.open()
            self._is_open = True

    def _drop_left_items(self) -> None:
        """Cut off the items whose pages a killed run did not write.

        Such a page is visited again, and may have other items then. They are the last ones: the pages of a group
        are written after all of its items, in the same order.
        """
        left: set[bytes] = set()

        def is_left(entry: bytes) -> bool:
            page = self._items.page_of(entry)
            if self._pages.has(page):
                return False
            left.add(page)
            if len(left) > _MOST_LEFT:
                raise OutputUnwritable(
                    f"{self._items.name} has items of pages that are not in {self.name}; "
                    "put the file of pages back, or move that of items away"
                )
            return True

        self._items.cut_back(is_left)

    def encode(self, batch: Batch) -> tuple[_Encoded, int]:
        """Return the entries of a batch, and their bytes. Raises `RenderError` for one that cannot be written."""
        pages, size_bytes = self._pages.encode(batch)
        items = []
        for (key, _), record in zip(pages, batch.records, strict=True):
            if record.items or (record.items is not None and record.fields.get("revision")):
                entries = self._items.entries(record)
                size_bytes += sum(len(entry) for _, entry in entries)
                items.append((key, entries))
        return (pages, items), size_bytes

    def write(self, group: Sequence[_Encoded]) -> None:
        """Write the items of new pages, and then the pages. Raises `OutputUnwritable`."""
        # Of a page that comes twice the first counts, as it does for its record, and any later revision.
        fresh: dict[bytes, _Entries] = {}
        for pages, items in group:
            by_page = dict(items)
            for entry in pages:
                key = entry[0]
                if isinstance(entry, Revised) or (key not in fresh and not self._pages.has(key)):
                    fresh[key] = by_page.get(key, ())
        if any(fresh.values()):
            self._open_items()
            self._items.write([*fresh.values()])
        self._pages.write([pages for pages, _ in group])

    def close(self) -> None:
        """Remove replaced entries, and close the files; in large ones the next run removes them."""
        if self._pages.repeated:
            if max(self._pages.size_bytes, self._items.size_bytes) <= AT_END_BYTES:
                self._compact()
            else:
                log.warning(
                    "%s is too large to be written anew: %d earlier revisions stay until the next run",
                    self.name,
                    len(self._pages.repeated),
                )
        self._pages.close()
        if self._is_open:
            self._items.close()
            self._is_open = False


def _key(id_: bytes) -> bytes:
    return blake2b(id_, digest_size=KEY_BYTES).digest()

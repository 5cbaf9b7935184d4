"""The items of a page in its entry of a segment's log, so that both become durable together.

An entry is a JSON object on a line; its last two keys have the items and the length of their text, so that no
content of the page itself can be mistaken for them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from farm.sinks.item_values import item_line

_END = re.compile(rb',"_items_bytes":([0-9]{1,12})\}\n')
_END_BYTES = 40
_START = b',"_items":'


def with_items(line: bytes, items: Sequence[Mapping[str, Any]] | None) -> bytes:
    """Return the line of a page with its items. Raises `RenderError` for what cannot be written."""
    if not items:
        return line
    listed = item_line(items)[:-1]
    return b"".join((line[:-2], _START, listed, b',"_items_bytes":%d}\n' % len(listed)))


def without_items(line: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """Return the line of a page, and its items."""
    found = _END.search(line, max(0, len(line) - _END_BYTES))
    if found is None or found.end() != len(line):
        return line, []
    start = found.start() - int(found[1])
    items: list[dict[str, Any]] = orjson.loads(line[start : found.start()])
    return line[: start - len(_START)] + b"}\n", items


def items_in(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the items in a log. Raises OSError."""
    with log.open("rb") as lines:
        for line in lines:
            yield from without_items(line)[1]

"""Records as lines of JSON: a file of them, and segments."""

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from farm.model.record import Batch, Record
from farm.sinks.append_log import KeyOf
from farm.sinks.frames import LINES, Framing
from farm.sinks.log_file import LogStore, encoded
from farm.sinks.log_index import KEY_BYTES
from farm.sinks.log_items import with_items, without_items
from farm.sinks.record import json_line

_ID = re.compile(rb'\{"id":"([0-9a-f]{32})"')
_SEGMENT_LEVEL = 2
"""Of gzip: little more than a third of the time of level 6, for a quarter more bytes of the usual page."""


class JsonlStore(LogStore):
    """A line of JSON a record."""

    kind = "jsonl"

    def entry(self, record: Record) -> bytes:
        """Return the line; raises `ValueError` for what is not JSON."""
        return json_line(record.fields)

    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of a line."""
        return line_key(entry)


class JsonlFormat:
    """Segments of such lines, packed as a whole. Satisfies `SegmentFormat`."""

    suffix = ".jsonl.gz"
    most_rows = 100_000
    most_bytes = 128 * 2**20
    framing: Framing = LINES
    payloads = None

    @property
    def converter(self) -> "JsonlFormat":
        """What makes a segment of a log."""
        return self

    @property
    def key_of(self) -> KeyOf:
        """What returns the id in a line, as bytes."""
        return line_key

    def encode(self, batch: Batch) -> Sequence[tuple[bytes, bytes]]:
        """Return the lines of a batch with their ids. Raises `RenderError` of kind `corrupt`."""
        return encoded(batch, lambda record: with_items(json_line(record.fields), record.items))

    def convert(self, log: Path, draft: BinaryIO) -> None:
        """Write the lines packed by gzip. Raises OSError."""
        with log.open("rb") as lines, gzip.GzipFile("", "wb", _SEGMENT_LEVEL, draft, 0) as packed:
            for line in lines:
                packed.write(without_items(line)[0])

    def convert_items(self, items: Iterable[Mapping[str, Any]], draft: BinaryIO) -> None:
        """Write the items as lines packed by gzip. Raises OSError."""
        with gzip.GzipFile("", "wb", _SEGMENT_LEVEL, draft, 0) as packed:
            for item in items:
                packed.write(json_line(item))

    def preamble(self, segment: str) -> bytes:  # noqa: ARG002
        """Return nothing: a file has lines alone."""
        return b""

    def ids(self, segment: Path) -> Iterable[bytes]:
        """Return the ids in a file. Raises ValueError if a line has none."""
        try:
            with gzip.open(segment) as lines:
                for line in lines:
                    key = line_key(line)
                    if key is None:
                        raise ValueError("a line has no id")
                    yield key
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise ValueError(str(error)) from error


def line_key(line: bytes) -> bytes | None:
    """Return the id of a record's line as bytes, None if it is not a record."""
    # The id comes first in a record, so that rebuilding an index need not parse whole pages.
    found = _ID.match(line)
    if found:
        return bytes.fromhex(found[1].decode())
    try:
        key = bytes.fromhex(orjson.loads(line)["id"])
    except (TypeError, ValueError, KeyError):
        return None
    return key if len(key) == KEY_BYTES else None

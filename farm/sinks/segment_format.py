"""How the segments of a store are written, as it needs it of a format: Parquet, packed lines, WARC."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from farm.model.record import Batch
from farm.sinks.append_log import KeyOf
from farm.sinks.frames import Framing
from farm.sinks.payloads import KnownPayloads


class SegmentFormat(Protocol):
    """How a segment is written. Used in the writer's thread, its converter in that of an upload too."""

    suffix: str
    """Of the segments' names, such as `.parquet`."""
    most_rows: int
    most_bytes: int
    """Bounds of a log; whichever is reached first makes it a segment."""
    framing: Framing
    """How the entries follow one another in the log."""

    @property
    def payloads(self) -> KnownPayloads | None:
        """What entries refer to in place of writing it again; None where each has all that is its own."""
        ...

    @property
    def converter(self) -> "LogConverter | None":
        """What makes a segment of a log; None if the log is the segment, and need only be put in its place."""
        ...

    @property
    def key_of(self) -> KeyOf:
        """What returns the id in a line of the log, as bytes."""
        ...

    def encode(self, batch: Batch) -> Sequence[tuple[bytes, bytes]]:
        """Return the lines of a batch with their ids. Raises `RenderError` of kind `corrupt`."""
        ...

    def preamble(self, segment: str) -> bytes:
        """Return what stands before the first entry of a segment with this name."""
        ...

    def ids(self, segment: Path) -> Iterable[bytes]:
        """Return the ids in a segment. Raises OSError, or ValueError if it is not a segment."""
        ...


class LogConverter(Protocol):
    """Makes the segment of a log of another form, and one of the items in it."""

    def convert(self, log: Path, draft: BinaryIO) -> None:
        """Write the segment of a log to an open file. Raises OSError."""
        ...

    def convert_items(self, items: Iterable[Mapping[str, Any]], draft: BinaryIO) -> None:
        """Write the segment of the items in a log to an open file. Raises OSError."""
        ...

"""The framing of entries in a file: lines, rows of CSV, gzip members or frames of Zstandard.

Each entry is decoded alone, so that a file that was cut anywhere is valid up to its last complete entry.
"""

import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Protocol

_CHUNK_BYTES = 1 << 14
_MOST_BYTES = 1 << 30
"""The most bytes of an entry: none is so large, but another file could be, or a few packed bytes of it."""
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3


class Framing(Protocol):
    """A format of entries, texts that end with a newline, one after the other in a file."""

    def pack(self, entry: bytes) -> bytes:
        """Return the entry in its form in the file."""
        ...

    def unpack(self, frame: bytes) -> bytes | None:
        """Return the entry of one frame; None if the bytes are not exactly one frame."""
        ...

    def whole(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the entries from the file's position on with the bytes of their frames, while these are whole."""
        ...

    def may_be_torn(self, rest: bytes, at: int) -> bool:
        """Return whether these bytes may be the beginning of a frame that a crash left incomplete."""
        ...


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Return the lines of a file; one that is longer than any entry in parts, of which the first has no end."""
    return iter(partial(file.readline, _MOST_BYTES), b"")


class LineFraming:
    """An entry is a line."""

    def pack(self, entry: bytes) -> bytes:
        """Return the line."""
        return entry

    def unpack(self, frame: bytes) -> bytes | None:
        """Return the line; None if the bytes are not exactly one."""
        return frame if frame.endswith(b"\n") and frame.count(b"\n") == 1 else None

    def whole(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the lines and their bytes."""
        for line in _lines_of(file):
            if not line.endswith(b"\n") or b"\0" in line:
                return
            yield line, len(line)

    def may_be_torn(self, rest: bytes, at: int) -> bool:
        """Return True behind a line; else whether it looks like the start of a first line, or like lost blocks."""
        return at > 0 or rest[:2] in {b"{", b'{"'} or not rest.strip(b"\0")


class CsvFraming:
    """An entry is a row, which may have newlines between quotes."""

    def pack(self, entry: bytes) -> bytes:
        """Return the row."""
        return entry

    def unpack(self, frame: bytes) -> bytes | None:
        """Return the row; None if the bytes end in the middle of one."""
        return frame if frame.endswith(b"\n") and frame.count(b'"') % 2 == 0 else None

    def whole(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the rows and their bytes."""
        lines: list[bytes] = []
        quotes = size = 0
        for line in _lines_of(file):
            size += len(line)
            if not line.endswith(b"\n") or b"\0" in line or size > _MOST_BYTES:
                return
            lines.append(line)
            quotes += line.count(b'"')
            if quotes % 2 == 0:
                row = b"".join(lines)
                lines, quotes, size = [], 0, 0
                yield row, len(row)

    def may_be_torn(self, rest: bytes, at: int) -> bool:  # noqa: ARG002
        """Return True: it stands behind the header."""
        return True


class _Decoder(Protocol):
    """A decompressor of one frame, like those of the standard library."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class GzipFraming:
    """An entry is a gzip member; together they are a file that any gzip reads."""

    _magic = b"\x1f\x8b"
    _error: type[Exception] = zlib.error

    def pack(self, entry: bytes) -> bytes:
        """Return the member."""
        encoder = zlib.compressobj(_GZIP_LEVEL, wbits=31)
        return encoder.compress(entry) + encoder.flush()

    def unpack(self, frame: bytes) -> bytes | None:
        """Return the entry of a member; None if the bytes are not exactly one."""
        decoder = self._decoder()
        try:
            entry = decoder.decompress(frame, _MOST_BYTES)
        except self._error:
            return None
        return entry if decoder.eof and not decoder.unused_data else None

    def whole(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the entries and the bytes of their frames."""
        chunk = file.read(_CHUNK_BYTES)
        while chunk:
            decoder, parts, frame_bytes, entry_bytes = self._decoder(), list[bytes](), 0, 0
            is_whole = False
            while chunk and not is_whole and entry_bytes <= _MOST_BYTES:
                try:
                    parts.append(decoder.decompress(chunk))
                except self._error:
                    return
                frame_bytes += len(chunk)
                entry_bytes += len(parts[-1])
                is_whole = decoder.eof
                chunk = decoder.unused_data if is_whole else file.read(_CHUNK_BYTES)
            if not is_whole:
                return
            yield b"".join(parts), frame_bytes - len(chunk)
            chunk = chunk or file.read(_CHUNK_BYTES)

    def may_be_torn(self, rest: bytes, at: int) -> bool:  # noqa: ARG002
        """Return whether it begins as a frame does, or with lost blocks."""
        return rest.startswith((self._magic[: len(rest)], b"\0"))

    def _decoder(self) -> _Decoder:
        return zlib.decompressobj(wbits=31)


class ZstdFraming(GzipFraming):
    """An entry is a frame of Zstandard with a checksum. Raises ImportError without the library."""

    _magic = b"\x28\xb5\x2f\xfd"

    def __init__(self) -> None:
        try:
            from compression import zstd  # type: ignore[import-not-found, unused-ignore] # from Python 3.14 on
        except ImportError:
            from backports import zstd
        self._zstd = zstd
        self._error = zstd.ZstdError
        self._options = {
            zstd.CompressionParameter.compression_level: _ZSTD_LEVEL,
            zstd.CompressionParameter.checksum_flag: 1,
        }

    def pack(self, entry: bytes) -> bytes:
        """Return the frame."""
        packed: bytes = self._zstd.compress(entry, options=self._options)
        return packed

    def _decoder(self) -> _Decoder:
        decoder: _Decoder = self._zstd.ZstdDecompressor()
        return decoder


LINES = LineFraming()


def framing_of(name: str) -> Framing:
    """Return the framing for a file name: compressed for `.gz` or `.zst`, else plain lines."""
    if name.endswith(".gz"):
        return GzipFraming()
    return ZstdFraming() if name.endswith(".zst") else LINES

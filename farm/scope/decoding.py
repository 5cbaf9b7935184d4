"""Bytes from outside as text, piece by piece: decompressed if they are gzip, and decoded by their declaration.

Invariants: each piece of output is bounded, whatever the input, so that a reader can stop in between; only
codecs that browsers know are used, since others (`idna`, `punycode`) take quadratic time.
"""

import codecs
import re
import zlib
from collections.abc import Iterator

PIECE = 16 * 1024
"""Bytes that are decompressed, or characters that are decoded, at once."""
MAX_MEMBERS = 2000
"""Members of one gzip file; tools that compress in parallel write one for each block."""
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31
_HEAD = 512
_DECLARED = re.compile(rb"<\?xml[^<>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._:-]{1,40})[\"']")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    # Without a mark: an opening bracket shows the width of the units.
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_LEGACY = frozenset(
    codecs.lookup(name).name
    for name in (
        *(
            "big5",
            "euc_jp",
            "euc_kr",
            "gb18030",
            "gb2312",
            "gbk",
            "iso2022_jp",
            "shift_jis",
            "cp932",
            "cp949",
        ),
        *(f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
        *("koi8_r", "koi8_u", "mac_roman", "cp866", "cp874", *(f"cp125{page}" for page in range(9))),
    )
)


class BadCompression(ValueError):
    """The compressed data cannot be read any further; the text says why."""


class Decompressor:
    """Decompresses a file in pieces; gzip is recognised by its first bytes."""

    def __init__(self) -> None:
        self._head = b""
        self._inflate: zlib._Decompress | None = None
        self._members = 0
        self._is_plain = self._is_over = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the contents of a piece of the file, in pieces. Raises BadCompression."""
        while piece and not self._is_over:
            if self._is_plain:
                for start in range(0, len(piece), PIECE):
                    yield piece[start : start + PIECE]
                return
            if self._inflate is None:
                piece = self._begun(piece)
                continue
            yield from self._decompressed(self._inflate, piece)
            piece = self._inflate.unused_data
            if self._inflate.eof:
                self._inflate = None

    def close(self) -> bytes:
        """Return the rest of a file that was too short to be recognised."""
        return self._head if self._members == 0 else b""

    def _begun(self, piece: bytes) -> bytes:
        """Begin a file, or the next member of a gzip file: what follows the members is padding."""
        piece = self._head + piece
        if len(piece) < len(_GZIP_MAGIC):
            self._head = piece
            return b""
        self._head = b""
        if not piece.startswith(_GZIP_MAGIC):
            self._is_plain = self._members == 0
            self._is_over = not self._is_plain
            return piece
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise BadCompression(f"it is compressed in more than {MAX_MEMBERS} members")
        self._inflate = zlib.decompressobj(_GZIP)
        return piece

    def _decompressed(self, inflate: "zlib._Decompress", piece: bytes) -> Iterator[bytes]:
        try:
            while piece and not inflate.eof:
                yield inflate.decompress(piece, PIECE)
                piece = inflate.unconsumed_tail
        except zlib.error as error:
            raise BadCompression(f"it cannot be decompressed ({error})") from None


class Decoder:
    """Decodes by the byte order mark, else by the XML declaration, else as UTF-8; invalid bytes are replaced."""

    def __init__(self) -> None:
        self._head = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, piece: bytes, *, is_last: bool = False) -> str:
        """Return the text of a piece, without an incomplete character at its end."""
        if self._decoder is None:
            self._head += piece
            if len(self._head) < _HEAD and not is_last:
                return ""
            piece, self._head = self._head, b""
            self._decoder = codecs.getincrementaldecoder(_encoding(piece))("replace")
        return self._decoder.decode(piece, is_last)


def _encoding(head: bytes) -> str:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    found = _DECLARED.search(head)
    if found is None:
        return "utf-8"
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return "utf-8"
    return name if name in _LEGACY else "utf-8"

"""Sitemaps as they stream in: XML (a list or an index), RSS, Atom, or plain text; packed or not.

What always holds: no document type is read, so no entity is expanded and the parser fetches nothing; what is
unpacked, kept of one element and listed by one file is capped; a file that breaks in the middle has told what came
before. Addresses come as they stand there: making them canonical and judging them is done where links are.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.parsers import expat

MAX_BYTES = 50 * 2**20
"""Of one file, unpacked; the protocol's own limit."""
MAX_ENTRIES = 50_000
LONGEST_TEXT = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 64 * 1024
_ITEMS = frozenset({"url", "sitemap", "item", "entry"})
_ADDRESSES = frozenset({"loc", "link"})
_DATES = frozenset({"lastmod", "updated", "pubdate"})


class BadSitemap(ValueError):
    """The file cannot be read any further; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An address in a sitemap; `is_sitemap` where another sitemap stands there. `changed` where it is told."""

    url: str
    is_sitemap: bool = False
    changed: datetime | None = None


class SitemapReader:
    """Takes one file in pieces. `entries` are what it has listed so far."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._size = 0
        self._head = b""
        self._unpack: zlib._Decompress | None = None
        self._xml: expat.XMLParserType | None = None
        self._begun = False
        self._rest = b""
        self._path: list[str] = []
        self._item: dict[str, str] = {}
        self._text: list[str] = []
        self._text_chars = 0
        self._over = False

    def feed(self, piece: bytes) -> bool:
        """Read a piece; False where no more is wanted. Raises BadSitemap."""
        try:
            self._over = not self._take(piece)
        except BadSitemap:
            self._over = True
            raise
        return not self._over

    def close(self) -> Sequence[Entry]:
        """End the parse and return all entries, once the whole file was read.

        Raises BadSitemap where the file ends in the middle, or what is wrong shows only now: the parser may keep a
        token until the end is there. `entries` are then what came before. A file that was refused or cut by a cap
        is not read any further.
        """
        if self._over:
            return self.entries
        self._over = True
        if self._xml is not None:
            self._parse(self._xml, b"", is_last=True)
        elif self._rest:
            self._lines(b"\n")
        return self.entries

    def _take(self, piece: bytes) -> bool:
        if not self._begun:
            self._head += piece
            if len(self._head.lstrip()) < len(_GZIP_MAGIC):
                return True
            piece, self._begun = self._head, True
            if piece.startswith(_GZIP_MAGIC):
                self._unpack = zlib.decompressobj(31)
        if self._unpack is None:
            return self._plain(piece)
        try:
            while piece:
                if not self._plain(self._unpack.decompress(piece, _PIECE)):
                    return False
                piece = self._unpack.unconsumed_tail
        except zlib.error as error:
            raise BadSitemap(f"it cannot be unpacked ({error})") from None
        return True

    def _plain(self, piece: bytes) -> bool:
        if not piece:
            return True
        first = self._size == 0
        self._size += len(piece)
        if first and piece.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            self._xml = self._parser()
            piece = piece.lstrip(b" \t\r\n")
        if self._xml is None:
            self._lines(piece)
        else:
            self._parse(self._xml, piece, is_last=False)
        return self._size < MAX_BYTES and len(self.entries) < MAX_ENTRIES

    def _parse(self, parser: expat.XMLParserType, piece: bytes, *, is_last: bool) -> None:
        try:
            parser.Parse(piece, is_last)
        except expat.ExpatError as error:
            raise BadSitemap(f"it is not XML ({error})") from None

    def _lines(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[:LONGEST_TEXT]
        for line in lines:
            text = line.decode("utf-8-sig", "replace").strip()
            if text.startswith(("http://", "https://")) and len(text) < LONGEST_TEXT:
                self._add(Entry(text))

    def _parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = _no_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2].lower()
        self._path.append(local)
        self._text, self._text_chars = [], 0
        if local in _ITEMS:
            self._item = {}
        elif local == "link" and "href" in attributes and attributes.get("rel", "alternate") == "alternate":
            self._item.setdefault("url", attributes["href"])

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2].lower()
        self._path.pop()
        text = "".join(self._text).strip()
        parent = self._path[-1] if self._path else ""
        if parent in _ITEMS and text:
            # `image:loc` and the like have other parents, and are no pages.
            if local in _ADDRESSES:
                self._item.setdefault("url", text)
            elif local in _DATES:
                self._item.setdefault("changed", text)
        if local in _ITEMS and "url" in self._item:
            self._add(Entry(self._item["url"], local == "sitemap", _moment(self._item.get("changed", ""))))
        self._text = []

    def _characters(self, text: str) -> None:
        self._text_chars += len(text)
        if self._text_chars <= LONGEST_TEXT:
            self._text.append(text)

    def _add(self, entry: Entry) -> None:
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(entry)


def _no_document_type(*_: object) -> None:
    raise BadSitemap("it has a document type, which is refused: entities would be expanded")


def _moment(text: str) -> datetime | None:
    """Read a W3C date; what is none is as good as no date."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

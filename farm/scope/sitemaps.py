"""A streaming reader of sitemaps: XML (a list or an index), RSS, Atom, or plain text; with or without gzip.

Invariants: no document type is read, so no entity is expanded and the parser fetches nothing; the
decompressed size, the depth, the elements, the longest tag and the entries of one file are capped; no tree is
built; the entries before an error are kept, and so is an entry with a whole address in which the file breaks.
Addresses are returned as the file has them: they are resolved, canonicalised and judged as links are.

Reading is done in short steps: a reader on an event loop lets it run in between.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.parsers import expat
from xml.parsers.expat import errors

from farm.scope.dates import moment_of
from farm.scope.decoding import BadCompression, Decoder, Decompressor

MAX_BYTES = 50 * 2**20
"""Bytes of one file, decompressed; the limit of the protocol."""
MAX_ENTRIES = 50_000
MAX_ELEMENTS = 2_000_000
MAX_DEPTH = 32
LONGEST_TEXT = 4096
LONGEST_TAG = 64 * 1024
"""Characters of a tag or a comment: the parser keeps an incomplete one, and reads it again with each piece."""
HEAD = 64 * 1024
"""Characters before the first element of a sitemap: blanks, declarations, comments, a script's output."""
_DATES = frozenset({"lastmod", "updated", "pubdate", "date"})
_LISTS = frozenset({"urlset", "sitemapindex"})
_IDENTITIES = frozenset({"guid", "id"})
"""The ids of an entry in a feed: usually its address, even if the feed denies it (`isPermaLink="false"`)."""
_ROOT = re.compile(r"<(?:[\w.-]{1,40}:)?(urlset|sitemapindex|rss|feed|rdf)(?=[\s/>])", re.IGNORECASE)
_DECLARES = re.compile(r"<!(?:ENTITY|ATTLIST|ELEMENT)\b")
_MARK = "\ue5ff"
"""Replaces an ampersand that begins no XML entity: sites write them, and expat refuses them."""
_STRAY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
_MARKED = re.compile(_MARK + r"(?:[A-Za-z][A-Za-z0-9]{1,31};)?")
_UNENDED = re.compile(r"&[#\w]{0,32}\Z")
_LINES = re.compile(r"[^\r\n]+")
_BLANKS = "\ufeff\u200b \t\n\xa0"
"""Two that Python does not count as blank, and those that stand between them."""
_NO_SITEMAP = "it is neither a sitemap nor a feed"
_UNCLOSED_TOKEN = errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN]


class BadSitemap(ValueError):
    """The file cannot be read any further; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An address in a sitemap, which may be another sitemap's; `changed` is None if it is not given."""

    url: str
    is_sitemap: bool = False
    changed: datetime | None = None


class SitemapReader:
    """Reads one file in pieces. `entries` are those read so far; `cut` says which limit ended it, or is empty."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.cut = ""
        self._size = 0
        self._decompressor = Decompressor()
        self._decoder = Decoder()
        self._head = ""
        self._look_at = 1
        self._begun = False
        self._xml: _XmlReader | None = None
        self._rest = ""
        self._has_words = False
        self._over = False

    def feed(self, piece: bytes) -> bool:
        """Read a piece; return False where no more is needed. Raises BadSitemap."""
        return all(self.steps(piece))

    def steps(self, piece: bytes) -> Iterator[bool]:
        """Read a piece in short steps; yield after each whether more is needed. Raises BadSitemap."""
        try:
            for part in self._decompressor.feed(piece):
                if self._over:
                    yield False
                    return
                left = MAX_BYTES - self._size
                self._size += len(part)
                if len(part) > left:
                    self.cut = f"it has more than {MAX_BYTES} bytes"
                self._text(self._decoder.feed(part[:left]), is_last=False)
                self._over = bool(self.cut)
                yield not self._over
        except BadCompression as error:
            self._over = True
            raise BadSitemap(str(error)) from None
        except BadSitemap:
            self._over = True
            raise

    def close(self, *, is_whole: bool = True) -> Sequence[Entry]:
        """End the parse and return all entries, once the file was fed.

        Without `is_whole` its end is missing, and the last line of a text may be half an address. Raises
        BadSitemap where the file is incomplete, where it has words but no address, or where an error shows only at
        its end: the parser may keep a token until then. `entries` are those before the error. A file that was
        refused or cut by a limit is not read further.
        """
        if not self._over:
            self._over = True
            text = self._decoder.feed(self._decompressor.close(), is_last=True)
            self._text(text, is_last=True, is_whole=is_whole)
            if self._has_words and not self.entries:
                raise BadSitemap(_NO_SITEMAP)
        return self.entries

    def _add(self, entry: Entry) -> None:
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(entry)
        else:
            self.cut = f"it lists more than {MAX_ENTRIES} addresses"

    def _text(self, text: str, *, is_last: bool, is_whole: bool = True) -> None:
        if not self._begun:
            self._head += text
            # Searched when it has doubled: it may arrive byte by byte.
            if len(self._head) < min(self._look_at, HEAD) and not is_last:
                return
            self._look_at = 2 * len(self._head)
            if not self._find_root(is_last=is_last):
                return
            text, self._head = self._head, ""
        if self._xml is not None:
            self._xml.feed(text, is_last=is_last)
        else:
            self._lines(text, is_last=is_last and is_whole)

    def _find_root(self, *, is_last: bool) -> bool:
        """Return whether the kind of file is known; the head then begins at its root. Raises BadSitemap."""
        root = _root_of(self._head)
        if root is not None:
            if _DECLARES.search(self._head, 0, root.start()):
                raise BadSitemap("it declares entities or elements of its own, which is refused")
            self._xml = _XmlReader(root[1].lower(), self._add)
            self._head = self._head[root.start() :]
        elif len(self._head) < HEAD and not is_last:
            return False
        elif self._head.lstrip("\ufeff \t\r\n").startswith("<"):
            raise BadSitemap(_NO_SITEMAP)
        self._begun = True
        return True

    def _lines(self, text: str, *, is_last: bool) -> None:
        text = self._rest + text
        end = len(text) if is_last else max(text.rfind("\n"), text.rfind("\r")) + 1
        # A line that is too long stays too long when a part of it is dropped.
        self._rest = text[end : end + LONGEST_TEXT]
        for line in _LINES.finditer(text, 0, end):
            address = _trimmed(line[0])
            is_address = _has_scheme(address) or (address[:4].lower() == "www." and len(address.split()) == 1)
            if is_address and len(address) < LONGEST_TEXT:
                self._add(Entry(address))
            elif address and not address.startswith("#"):
                self._has_words = True


class _XmlReader:
    """Reads the elements of a sitemap or a feed, from its root on; `add` takes each entry."""

    def __init__(self, root: str, add: Callable[[Entry], None]) -> None:
        self._add = add
        self._root = root
        self._items = {"url", "sitemap"} if root in _LISTS else {"item", "entry"}
        self._address = "loc" if root in _LISTS else "link"
        self._identities = frozenset[str]() if root in _LISTS else _IDENTITIES
        self._path: list[str] = []
        self._address_depth = 0
        self._open_items = 0
        self._prefix = ""
        self._is_sitemap = False
        self._item: dict[str, str] = {}
        self._chars: list[str] = []
        self._length = 0
        self._elements = 0
        self._unread = ""
        self._fed = 0
        # Namespaces are not resolved: a name of 60 KB would be copied for each element.
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def feed(self, text: str, *, is_last: bool) -> None:
        """Parse on; raises BadSitemap."""
        text = self._unread + text
        open_ = None if is_last else _UNENDED.search(text, max(0, len(text) - 40))
        self._unread = text[open_.start() :] if open_ else ""
        text = text[: open_.start()] if open_ else text
        content = _STRAY.sub(_MARK, text).encode("utf-8", "replace")
        self._fed += len(content)
        try:
            self._parser.Parse(content, is_last)
        except expat.ExpatError as error:
            if not self._path and self._elements:
                return  # text after the root is ignored
            if self._address_depth and error.code == _UNCLOSED_TOKEN:
                self._take_address()  # it is whole: the file breaks in the tag behind it
            self._end_item()
            raise BadSitemap(f"it is not XML ({error})") from None
        if self._fed - self._parser.CurrentByteIndex > LONGEST_TAG:
            raise BadSitemap(f"it has a tag of more than {LONGEST_TAG} bytes")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._path) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise BadSitemap(
                f"it has more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} in one another"
            )
        prefix, _, local = name.rpartition(":")
        local = local.lower()
        # `image:loc`, `atom:link` and the like are no pages.
        is_foreign = bool(self._open_items and prefix and prefix != self._prefix)
        if self._address_depth or (is_foreign and local in self._items):
            self._path.append("")  # of elements within an address, such as `<loc><url>`, the text counts
            return
        in_item = self._in_item()
        if in_item:
            self._take_own_text()
        self._path.append(local)
        self._chars, self._length = [], 0
        if local in self._items:
            self._end_item()
            self._open_items += 1
            self._prefix, self._is_sitemap = prefix, local == "sitemap"
        elif in_item and local == self._address and not is_foreign:
            href = attributes.get("href") if self._root == "feed" else None
            if href is None:
                self._address_depth = len(self._path)
            elif 0 < len(href) < LONGEST_TEXT and attributes.get("rel", "alternate") == "alternate":
                self._item.setdefault("url", _unescaped(href))

    def _end(self, _name: str) -> None:
        local = self._path.pop()
        if self._address_depth > len(self._path):
            self._take_address()
        elif self._address_depth:
            return
        elif local in self._items:
            self._take_own_text()
            self._open_items -= 1
            self._end_item()
        elif self._in_item() and (local in _DATES or local in self._identities):
            text = self._own_text()
            if local in _DATES and text:
                self._item.setdefault("changed", text)
            elif _has_scheme(text):
                self._item.setdefault("identity", text)
        self._chars, self._length = [], 0

    def _in_item(self) -> bool:
        return bool(self._path) and self._path[-1] in self._items

    def _take_address(self) -> None:
        self._address_depth = 0
        text = self._own_text()
        if text and "url" in self._item and self._root in _LISTS:
            self._end_item()  # a second `<loc>`: the element before was not closed
        if text:
            self._item.setdefault("url", text)

    def _take_own_text(self) -> None:
        """Take the text that stands in an item itself, as in `<sitemap>https://…</sitemap>`."""
        if self._chars and "url" not in self._item and _has_scheme(text := self._own_text()):
            self._item.setdefault("text", text)

    def _own_text(self) -> str:
        """Return the text since the last tag, or within the address; nothing if it is too long."""
        return _trimmed(_unescaped("".join(self._chars))) if self._length <= LONGEST_TEXT else ""

    def _end_item(self) -> None:
        item, self._item = self._item, {}
        url = item.get("url") or item.get("text") or item.get("identity")
        if url:
            self._add(Entry(url, self._is_sitemap, moment_of(item.get("changed", ""))))

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length <= LONGEST_TEXT:
            self._chars.append(text)


def _trimmed(text: str) -> str:
    return text.strip() if text.isascii() else text.strip().strip(_BLANKS)


def _has_scheme(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _root_of(head: str) -> re.Match[str] | None:
    """Return the match of the first root element outside comments."""
    at, root = 0, _ROOT.search(head)
    while root is not None and (start := head.find("<!--", at, root.start())) >= 0:
        end = head.find("-->", start + 4)
        if end < 0:
            return None
        at = end + 3
        if at > root.start():
            root = _ROOT.search(head, at)
    return root


def _unescaped(text: str) -> str:
    """Return a text with its ampersands restored and HTML's named characters decoded."""
    return _MARKED.sub(lambda found: html.unescape("&" + found[0][1:]), text) if _MARK in text else text

"""The index of WARC files in the format CDXJ: a line for each capture, sorted by SURT key and time.

The key by which replay tools find an address (SURT): host reversed, all in lower case, parameters sorted.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote_to_bytes

import orjson

from farm.export.merge import no_room
from farm.export.stored_file import StoredFile
from farm.model.url import host_of
from farm.sinks.frames import GzipFraming

_MEMBERS = GzipFraming()
_INDEXED = frozenset({"response", "revisit", "resource"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_WWW = re.compile(r"www\d{0,9}\.")
_SESSION = re.compile(r"(?:jsessionid|phpsessid|sid)=[0-9a-z]{32}")
"""Parameters that such keys leave out."""
_SLASHES = re.compile(r"/{2,}")
_HEAD_BYTES = 1 << 17
_KEPT = "!\"$&'()*+,-./:;<=>@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True)
class ArchivedAnswer:
    """A WARC record with something to replay: where it is in its file, and what its heads say.

    Where it is a `revisit` another record has its payload, which readers find by what its own head says.
    """

    kind: str
    page_id: str
    url: str
    date: str
    mime: str
    status: str
    digest: str
    offset: int
    length: int

    @property
    def timestamp(self) -> str:
        """The time in 14 digits."""
        return re.sub(r"[^0-9]", "", self.date)[:14]

    @property
    def key(self) -> str:
        """The key by which the line is sorted and found."""
        return f"{surt(self.url)} {self.timestamp}"

    def line(self, filename: str) -> str:
        """Return the line of the index, without its end."""
        said = {
            "url": self.url,
            "mime": "warc/revisit" if self.kind == "revisit" else self.mime,
            "status": self.status,
            "digest": self.digest,
            "length": str(self.length),
            "offset": str(self.offset),
            "filename": filename,
        }
        known = {name: value for name, value in said.items() if value}
        return f"{self.key} {orjson.dumps(known).decode()}"


def captures(stored: StoredFile) -> Iterator[ArchivedAnswer]:
    """Yield what of a packed WARC file can be replayed.

    Raises OSError, UsageError, and ValueError where it is none.
    """
    offset = 0
    with stored.open() as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        for member, length in _MEMBERS.whole(file):
            head, found, block = member[:_HEAD_BYTES].partition(b"\r\n\r\n")
            if not head.startswith(b"WARC/") or not found:
                raise ValueError(f"byte {offset} is not the beginning of a WARC record")
            about = _fields(head)
            if about.get("warc-type") in _INDEXED and about.get("warc-target-uri"):
                yield _capture(about, block, offset, length)
            offset += length
        if offset != size_bytes:
            raise ValueError(f"it cannot be unpacked from byte {offset} on")


def _capture(about: dict[str, str], block: bytes, offset: int, length: int) -> ArchivedAnswer:
    status, mime = "", about.get("content-type", "")
    if mime.startswith("application/http"):
        head = block.partition(b"\r\n\r\n")[0]
        status = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")[2].partition(" ")[0]
        mime = _fields(head).get("content-type", "").partition(";")[0].strip().lower()
    return ArchivedAnswer(
        about["warc-type"],
        about.get("warc-crawl-record-id", "").partition(" ")[0],
        about["warc-target-uri"].strip("<>"),
        about.get("warc-date", ""),
        mime,
        status,
        about.get("warc-payload-digest", ""),
        offset,
        length,
    )


def _fields(head: bytes) -> dict[str, str]:
    """Return the named fields of a head by their names in lower case; of several the first."""
    found: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, mark, value = line.partition(":")
        if mark:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def surt(url: str) -> str:
    """Return the address as a SURT key: `example,shop)/p?a=1`."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    cut = min((at for mark in "/?" if (at := rest.find(mark)) >= 0), default=len(rest))
    site = rest[:cut].rpartition("@")[2].lower()
    host = host_of(site)
    port = site[len(host) :].removeprefix(":")
    turned = ",".join(reversed(_WWW.sub("", host, count=1).split("."))) if host[:1] != "[" else host[1:-1]
    suffix = f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else ""
    path, mark, query = rest[cut:].partition("?")
    path = _SLASHES.sub("/", _spelt(path)).lower() or "/"
    path = path.removesuffix("/") or "/"
    kept = [part for part in _spelt(query).split("&") if not _SESSION.fullmatch(part)] if query else []
    parts = sorted(tuple(part.split("=", 1)) for part in kept)
    return f"{turned}{suffix}){path}{mark if parts else ''}{'&'.join('='.join(part) for part in parts)}"


def _spelt(text: str) -> str:
    """Return a part of an address in which only necessary characters are escaped."""
    return quote(unquote_to_bytes(text), safe=_KEPT).lower()


class SortedLines:
    """Lines that are sorted byte by byte, each once, in bounded memory; a context manager."""

    def __enter__(self) -> Self:
        """Begin: a temporary file without a name holds what memory does not."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE lines (line TEXT PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them."""
        self._database.close()

    def add(self, line: str) -> None:
        """Add a line. Raises `OutputUnwritable` if the temporary file has no room."""
        try:
            self._database.execute("INSERT OR IGNORE INTO lines VALUES (?)", [line])
        except sqlite3.OperationalError as error:
            raise no_room(error) from None

    def __iter__(self) -> Iterator[str]:
        """Yield them in order."""
        return (line for (line,) in self._database.execute("SELECT line FROM lines ORDER BY line"))

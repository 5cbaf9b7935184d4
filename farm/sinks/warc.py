"""Segments in the WARC format (ISO 28500): what the browser and the site said for each document.

An entry is all WARC records of one page, each a gzip member: a `response` and a `request` for every document on
the way. `WARC-Crawl-Record-ID` says whose it is and which one of how many, so that a torn entry is recognised.
Where an earlier record has the same payload, a `revisit` stands for the `response`: its head, and where the
payload is.
"""

import re
from base64 import b32encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha1
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from farm import __version__
from farm.model.page import PageExchange
from farm.model.record import Batch, Record
from farm.model.secret import MASK, is_secret_header, without_credentials
from farm.sinks.append_log import KeyOf
from farm.sinks.frames import Framing, GzipFraming
from farm.sinks.payloads import LEAST_BYTES, KnownPayloads, Payload, WarcEntry

_MEMBERS = GzipFraming()
_ID = re.compile(rb"\r\nWARC-Crawl-Record-ID: ([0-9a-f]{32}) ([0-9]{1,4})/([0-9]{1,4})\r\n")
_HEAD_BYTES = 16_384
_URL_CHARS = 8_000
_PROFILE = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
_CONTROLS = re.compile(r"[\x00-\x20\x7f]")
_LINE_ENDS = re.compile(r"[\r\n\0]+")
_SHOWN = frozenset({"accept", "accept-language", "referer", "upgrade-insecure-requests", "user-agent"})
"""Request headers that are kept: others may be the user's own, and open a session."""
_OF_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Response headers that are not true of a body without its encoding; they are kept under another name."""


class WarcFraming:
    """An entry is the gzip members of one page, the first of a file with `warcinfo` before them."""

    def pack(self, entry: bytes) -> bytes:
        """Return the members."""
        return entry

    def unpack(self, frame: bytes) -> bytes | None:
        """Return the id in hexadecimal digits; None if the bytes are not exactly one entry."""
        found = list(self.whole(BytesIO(frame)))
        return found[0][0] if len(found) == 1 and found[0][1] == len(frame) else None

    def whole(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yield the ids of the entries in hexadecimal digits, and the bytes of each."""
        size = 0
        for member, member_bytes in _MEMBERS.whole(file):
            size += member_bytes
            found = _ID.search(member[:_HEAD_BYTES].partition(b"\r\n\r\n")[0] + b"\r\n")
            if found is None:
                if b"\r\nWARC-Type: warcinfo\r\n" not in member[:_HEAD_BYTES]:
                    yield b"", size
                    return
            elif found[2] == found[3]:
                yield found[1], size
                size = 0

    def may_be_torn(self, rest: bytes, at: int) -> bool:
        """Return whether it begins as a member does, or with lost blocks."""
        return _MEMBERS.may_be_torn(rest, at)


class WarcFormat:
    """Satisfies `SegmentFormat`."""

    suffix = ".warc.gz"
    most_rows = 1_000_000
    most_bytes = 1 << 30
    framing: Framing = WarcFraming()
    converter = None

    def __init__(self) -> None:
        self.payloads: KnownPayloads | None = KnownPayloads()

    @property
    def key_of(self) -> KeyOf:
        """What returns an entry's id as bytes."""
        return lambda digits: bytes.fromhex(digits.decode()) if digits else None

    def encode(self, batch: Batch) -> Sequence[tuple[bytes, bytes]]:
        """Return the WARC records of each page."""
        return [(bytes.fromhex(record.id), _entry(record, self.payloads)) for record in batch.records]

    def preamble(self, segment: str) -> bytes:
        """Return the `warcinfo` record of a file."""
        about = f"software: crawl-farm/{__version__}\r\nformat: WARC File Format 1.1\r\n".encode()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = [("WARC-Filename", segment), ("WARC-Date", now), ("Content-Type", "application/warc-fields")]
        return _member("warcinfo", str(uuid4()), head, about)

    def ids(self, segment: Path) -> Iterable[bytes]:
        """Return the ids in a file. Raises ValueError if something in it is not the farm's."""
        size = 0
        with segment.open("rb") as file:
            for digits, entry_bytes in self.framing.whole(file):
                key = self.key_of(digits)
                if key is None:
                    break
                size += entry_bytes
                yield key
        if size != segment.stat().st_size:
            raise ValueError(f"from byte {size} on")


def _entry(record: Record, known: KnownPayloads | None) -> WarcEntry:
    exchanges = record.exchanges or [_without_body(record)]
    date = str(record.fields["fetched_at"])
    fresh: dict[str, Payload] = {}
    members: list[bytes] = []
    for number, exchange in enumerate(exchanges):
        url, response_id, digest = _url(exchange.url), str(uuid4()), _digest(exchange.body)
        same = None
        if len(exchange.body) >= LEAST_BYTES and not exchange.truncated:
            same = fresh.get(digest) or (known.find(digest) if known is not None else None)
            if same is None:
                fresh[digest] = Payload(digest, date, response_id, url)
            elif (same.uri, same.date) == (url, date):
                # By address and date it could be taken for the one that it refers to.
                same = None
        kinds = (("revisit" if same else "response", response_id), ("request", str(uuid4())))
        for place, (kind, own_id) in enumerate(kinds, 2 * number + 1):
            is_request = kind == "request"
            head = [
                # Before what may be long: it is looked for at the beginning.
                ("WARC-Crawl-Record-ID", f"{record.id} {place}/{2 * len(exchanges)}"),
                ("WARC-Target-URI", url),
                ("WARC-Date", date),
                ("Content-Type", f"application/http;msgtype={'request' if is_request else 'response'}"),
                ("WARC-Payload-Digest", _digest(b"") if is_request else digest),
            ]
            if is_request:
                head.append(("WARC-Concurrent-To", f"<urn:uuid:{response_id}>"))
                start = f"{exchange.method} {_target(url)} HTTP/1.1"
                block = _head(start, _request_headers(exchange, url))
            else:
                head += _referred(same) if same is not None else _cut(exchange)
                block = _head(f"HTTP/1.1 {_status(exchange.status)}", _response_headers(exchange))
                block += b"" if same is not None else exchange.body
            members.append(_member(kind, own_id, head, block))
    entry = WarcEntry(b"".join(members))
    entry.payloads = [*fresh.values()]
    return entry


def _referred(payload: Payload) -> list[tuple[str, str]]:
    """Return the fields that say which record has the payload of a `revisit`."""
    return [
        ("WARC-Profile", _PROFILE),
        ("WARC-Refers-To", f"<urn:uuid:{payload.record_id}>"),
        ("WARC-Refers-To-Date", payload.date),
        ("WARC-Truncated", "length"),
        ("WARC-Refers-To-Target-URI", payload.uri),
    ]


def _cut(exchange: PageExchange) -> list[tuple[str, str]]:
    return [("WARC-Truncated", exchange.truncated)] if exchange.truncated else []


def _member(kind: str, own_id: str, head: Sequence[tuple[str, str]], block: bytes) -> bytes:
    """Return a WARC record, packed."""
    of_all = [("WARC-Type", kind), ("WARC-Record-ID", f"<urn:uuid:{own_id}>"), *head]
    measured = [("WARC-Block-Digest", _digest(block)), ("Content-Length", str(len(block)))]
    return _MEMBERS.pack(_head("WARC/1.1", [*of_all, *measured]) + block + b"\r\n\r\n")


def _head(start: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace")


def _digest(content: bytes) -> str:
    return f"sha1:{b32encode(sha1(content, usedforsecurity=False).digest()).decode()}"


def _url(url: str) -> str:
    """Return an address without credentials and without what ends a line or a word."""
    plain = without_credentials(url)[:_URL_CHARS]
    return _CONTROLS.sub(lambda found: f"%{ord(found[0]):02X}", plain)


def _without_body(record: Record) -> PageExchange:
    """Return the exchange of a page of which the browser has kept none: its head, as far as the record has it."""
    headers: dict[str, Any] = dict(record.fields["headers"])
    return PageExchange(
        str(record.fields["final_url"]),
        "GET",
        int(record.fields["status"] or 0),
        headers=tuple((name, str(value)) for name, value in headers.items()),
        truncated="unspecified",
    )


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _response_headers(exchange: PageExchange) -> list[tuple[str, str]]:
    kept = []
    for name, value in exchange.headers:
        shown = MASK if is_secret_header(name) else without_credentials(_LINE_ENDS.sub(" ", value))
        plain = _LINE_ENDS.sub(" ", name)
        kept.append((f"X-Archive-Orig-{plain}" if plain.lower() in _OF_TRANSFER else plain, shown))
    return [*kept, ("Content-Length", str(len(exchange.body)))]


def _request_headers(exchange: PageExchange, url: str) -> list[tuple[str, str]]:
    """Return the headers without secrets: what --header sets may be one."""
    host = url.partition("://")[2].partition("/")[0]
    kept = [
        (name, without_credentials(_LINE_ENDS.sub(" ", value)))
        for name, value in exchange.request_headers
        if name.lower() in _SHOWN
    ]
    return [("Host", host), *kept]


def _target(url: str) -> str:
    """Return what a request line has of a URL."""
    path = url.partition("://")[2].partition("/")[2].partition("#")[0]
    return f"/{path}"

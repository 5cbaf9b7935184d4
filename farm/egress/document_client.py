"""Requests for documents without a browser, through a slot's own port of the gateway, like a browser's requests.

So the pace of the site, the guard, the proxies, the count of bytes and the cap of a visit apply to them too. Over
TLS a site is spoken to by HTTP/2 if it chooses so, and by HTTP/1.1 if its HTTP/2 is not valid.
Invariants: at most one connection is kept, for one scheme, host and port; at most the cap of an answer is held in
memory, also of a compressed body; certificates are verified unless the user says otherwise.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import h11

from farm.egress.authority import DETAIL_CHARS
from farm.egress.content_coding import Undecodable, decoded_pieces
from farm.egress.document_http1 import Http1Connection
from farm.egress.document_http2 import PROTOCOL, Headers, Http2Connection, NotHttp2, RequestReset
from farm.egress.gateway import SlotProxy
from farm.egress.response import HEADERS
from farm.egress.shortage import is_shortage
from farm.model.egress import DocumentAnswer, flat_headers
from farm.model.errors import RenderError, RendererUnfit, UsageError
from farm.model.outcome import FailureKind

log = logging.getLogger("farm.egress")
Heads = Callable[[int, Mapping[str, str]], Awaitable[None]]
"""Receives the status and the headers of an answer, names in lower case."""
WithoutBody = Callable[[int, Mapping[str, str]], bool]
"""Returns whether the body of an answer is of no use, by its status and headers."""
_CHUNK = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_PORTS = {"http": 80, "https": 443}
_NO_BODY = frozenset({204, 205, 304})
_TRIES = 3
"""A reused connection may have been closed meanwhile, and the new one may not be fit for HTTP/2."""
_MOST_WITHOUT_HTTP2 = 100
"""How many authorities are remembered as those whose HTTP/2 was not fit; the oldest is forgotten."""


class _Again(Exception):
    """No part of an answer arrived, and another connection may bring one; `failure` is how the request failed."""

    def __init__(self, failure: RenderError | RendererUnfit) -> None:
        super().__init__(str(failure))
        self.failure = failure


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Which certificates are accepted: the system's authorities and those of `ca_file`, or any if `insecure`."""

    ca_file: Path | None = None
    insecure: bool = False

    def context(self, http2: bool = True) -> ssl.SSLContext:
        """Return a context for all connections, with `http2` for those that may choose HTTP/2.

        Raises UsageError if `ca_file` cannot be read.
        """
        context = ssl.create_default_context()
        context.set_alpn_protocols([PROTOCOL, "http/1.1"] if http2 else ["http/1.1"])
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl's errors are among them
                why = error.strerror or str(error)
                raise UsageError(f"Cannot read certificates from {self.ca_file}: {why}.") from None
        return context


class _Wire(Protocol):
    """A connection that carries one request after another, by a version of HTTP.

    `own_headers` are what it adds to the headers of a request.
    """

    own_headers: Headers

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer has ended and another request may follow."""
        ...

    async def head(self, host: bytes, path: bytes, headers: Headers) -> tuple[int, Headers]:
        """Send a GET request; return the status and the headers of its answer."""
        ...

    async def piece(self) -> bytes:
        """Return the next piece of the body, empty at its end."""
        ...


@dataclass(slots=True)
class _Open:
    """A connection to one authority, and whether it has served a request."""

    key: tuple[str, str, int]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    wire: _Wire
    is_used: bool = False


class DocumentClient:
    """Requests documents by one slot proxy.

    `tls` returns the context that all clients share, for connections that may choose HTTP/2 or for the others.
    """

    def __init__(self, slot_proxy: SlotProxy, tls: Callable[[bool], ssl.SSLContext]) -> None:
        self._slot_proxy = slot_proxy
        self._tls = tls
        self._open: _Open | None = None
        self._without_http2: dict[tuple[str, str, int], None] = {}

    async def get(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        cap_bytes: int,
        heads: Heads | None = None,
        without_body: WithoutBody | None = None,
    ) -> DocumentAnswer:
        """Request the document, without following redirects; `heads` gets the head of the answer when it arrives.

        What is `without_body` is not read: its connection is closed. Header values are Latin-1, as HTTP has them.
        The caller has the deadline. Raises RenderError if no answer comes, and RendererUnfit where a browser
        might understand what came.
        """
        try:
            parts = urlsplit(url)
            key = (parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            request = _Request(url, key, parts.netloc.rpartition("@")[2], path, headers)
        except (ValueError, KeyError) as error:
            raise RendererUnfit(FailureKind.NETWORK, f"{url} is not an address to request: {error}") from None
        for _ in range(_TRIES - 1):
            with suppress(_Again):
                return await self._exchange(request, cap_bytes, heads, without_body)
        try:
            return await self._exchange(request, cap_bytes, heads, without_body)
        except _Again as again:
            raise again.failure from None

    async def _exchange(
        self, request: "_Request", cap_bytes: int, heads: Heads | None, without_body: WithoutBody | None
    ) -> DocumentAnswer:
        keeps = False
        try:
            connection = await self._connected(request)
            exchange = _Exchange(connection, request, cap_bytes)
            answer = await exchange.run(heads, without_body)
            keeps = connection.wire.is_reusable
        except ssl.SSLError as error:
            # One that speaks HTTP/2 alone may have failed for a moment.
            self._without_http2.pop(request.key, None)
            raise RendererUnfit(FailureKind.TLS, error.reason or str(error)[:DETAIL_CHARS]) from None
        except ssl.CertificateError as error:
            raise RendererUnfit(FailureKind.TLS, str(error)[:DETAIL_CHARS]) from None
        except NotHttp2 as error:
            self._avoid_http2(request.key, str(error))
            raise _Again(RendererUnfit(FailureKind.NETWORK, str(error)[:DETAIL_CHARS])) from None
        except RequestReset as error:
            # Some sites end the requests of clients that are no browsers in this way.
            self._without_http2.pop(request.key, None)
            raise RendererUnfit(FailureKind.NETWORK, str(error)) from None
        except (OSError, EOFError) as error:
            detail = str(error)[:DETAIL_CHARS] or type(error).__name__
            failure = RenderError(FailureKind.NETWORK, detail, request.url)
            if self._open is not None and self._open.is_used:
                raise _Again(failure) from None
            self._without_http2.pop(request.key, None)
            raise failure from None
        except (h11.RemoteProtocolError, h11.LocalProtocolError, UnicodeEncodeError, Undecodable) as error:
            raise RendererUnfit(FailureKind.NETWORK, str(error)[:DETAIL_CHARS]) from None
        finally:
            if not keeps:
                self.close()
        if exchange.was_not_http2:
            self._avoid_http2(request.key, answer.broke_off)
        connection.is_used = True
        return answer

    def _avoid_http2(self, key: tuple[str, str, int], why: str) -> None:
        log.debug("%s:%d gets its requests by HTTP/1.1 from now on: %s", *key[1:], why[:DETAIL_CHARS])
        self._without_http2[key] = None
        if len(self._without_http2) > _MOST_WITHOUT_HTTP2:
            del self._without_http2[next(iter(self._without_http2))]

    async def _connected(self, request: "_Request") -> _Open:
        kept = self._open
        if kept is not None and kept.key == request.key and not kept.reader.at_eof():
            return kept
        self.close()
        scheme, host, port = request.key
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._slot_proxy.port, limit=_CHUNK)
        except OSError as error:
            if is_shortage(error):
                self._slot_proxy.note_shortage()
            raise
        # To the gateway a plain request is in absolute form.
        http1 = Http1Connection(reader, writer, b"" if scheme == "https" else b"http://")
        self._open = opened = _Open(request.key, reader, writer, http1)
        if scheme == "https":
            authority = f"{f'[{host}]' if ':' in host else host}:{port}"
            writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            await _tunnelled(reader)
            await writer.start_tls(self._tls(request.key not in self._without_http2), server_hostname=host)
            is_http2 = writer.get_extra_info("ssl_object").selected_alpn_protocol() == PROTOCOL
            if is_http2:
                opened.wire = Http2Connection(reader, writer)
            log.debug("%s answers by %s", authority, "HTTP/2" if is_http2 else "HTTP/1.1")
        return opened

    def close(self) -> None:
        """Close the kept connection."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class _Request:
    url: str
    key: tuple[str, str, int]
    host: str
    path: str
    headers: Sequence[tuple[str, str]]


class _Exchange:
    """One request and its answer on a connection.

    `was_not_http2` says that the body broke off because it was not fit for HTTP/2.
    """

    def __init__(self, connection: _Open, request: _Request, cap_bytes: int) -> None:
        self.was_not_http2 = False
        self._wire = connection.wire
        self._is_first = not connection.is_used
        self._request = request
        self._cap_bytes = cap_bytes
        self._broke_off = ""

    async def run(self, heads: Heads | None, without_body: WithoutBody | None) -> DocumentAnswer:
        wire, request = self._wire, self._request
        host, path = request.host.encode("ascii"), request.path.encode("ascii")
        # A text that is not ASCII would be refused: cookies of sites have such letters.
        given = [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers]
        status, answered = await wire.head(host, path, given)
        if status == HTTPStatus.REQUEST_TIMEOUT and not self._is_first:
            # What some servers write before they close a connection that waits, whatever is requested meanwhile.
            raise ConnectionResetError("the connection had waited too long for its site")
        if len(answered) > HEADERS:
            raise RendererUnfit(FailureKind.NETWORK, f"the answer has more than {HEADERS} headers")
        headers = _as_text(answered)
        flat, body, is_cut = flat_headers(headers), b"", False
        if heads is not None:
            await heads(status, flat)
        # Without its body the connection cannot serve another request, and is not kept.
        if status not in _NO_BODY and not (without_body is not None and without_body(status, flat)):
            body, is_cut = await self._body()
        coding = ", ".join(value for name, value in headers if name == "content-encoding")
        if coding and body:
            body, is_cut = await self._decoded(body, coding, is_cut=is_cut)
        sent = _as_text((name.lower(), value) for name, value in [(b"Host", host), *wire.own_headers, *given])
        return DocumentAnswer(
            request.url, status, headers, body, sent, truncated=is_cut, broke_off=self._broke_off
        )

    async def _body(self) -> tuple[bytes, bool]:
        kept: list[bytes] = []
        size = 0
        try:
            while piece := await self._wire.piece():
                kept.append(piece)
                size += len(piece)
                if size > self._cap_bytes:
                    break
        except (h11.RemoteProtocolError, NotHttp2, OSError, EOFError) as error:
            self.was_not_http2 = isinstance(error, NotHttp2)
            self._broke_off = str(error)[:DETAIL_CHARS] or "it broke off"
        body = b"".join(kept)
        return body[: self._cap_bytes], size > self._cap_bytes

    async def _decoded(self, body: bytes, coding: str, *, is_cut: bool) -> tuple[bytes, bool]:
        kept: list[bytes] = []
        size = 0
        try:
            for number, piece in enumerate(decoded_pieces(body, coding)):
                if piece:
                    kept.append(piece)
                    size += len(piece)
                if size > self._cap_bytes:
                    break
                if number:
                    await asyncio.sleep(0)
        except Undecodable:
            if not (is_cut or self._broke_off):
                raise
        whole = b"".join(kept)
        return whole[: self._cap_bytes], is_cut or size > self._cap_bytes


async def _tunnelled(reader: asyncio.StreamReader) -> None:
    """Read the gateway's answer to CONNECT; raises ConnectionError unless a tunnel is open and nothing came by it.

    What the reader has before TLS begins would be read behind it, as if the site's certificate vouched for it:
    whoever is on the way there, a proxy say, could write the page.
    """
    head = b""
    while _HEAD_END not in head:
        piece = await reader.read(_CHUNK)
        if not piece:
            raise ConnectionError("the gateway made no tunnel")
        head += piece
    head, _, early = head.partition(_HEAD_END)
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError("the gateway made no tunnel")
    if early:
        raise ConnectionError("something came before TLS had begun")


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)

"""Requests for documents without a browser, through a slot's own port of the gateway, like a browser's requests.

So the pace of the site, the guard, the proxies, the count of bytes and the cap of a visit apply to them too.
Invariants: at most one connection is kept, for one scheme, host and port; at most the cap of an answer is held in
memory, also of a compressed body; certificates are verified unless the user says otherwise.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import h11

from farm.egress.authority import DETAIL_CHARS
from farm.egress.content_coding import Undecodable, decoded_pieces
from farm.egress.gateway import SlotProxy
from farm.egress.response import HEADERS, INFORMATIONAL, ResponseReader
from farm.model.egress import DocumentAnswer, flat_headers
from farm.model.errors import RenderError, RendererUnfit, UsageError
from farm.model.outcome import FailureKind

Heads = Callable[[int, Mapping[str, str]], Awaitable[None]]
"""Receives the status and the headers of an answer, names in lower case."""
WithoutBody = Callable[[int, Mapping[str, str]], bool]
"""Returns whether the body of an answer is of no use, by its status and headers."""
_CHUNK = 64 * 1024
_HEAD_BYTES = 256 * 1024
_PORTS = {"http": 80, "https": 443}
_NO_BODY = frozenset({204, 205, 304})


class _Stale(Exception):
    """A reused connection had been closed meanwhile: no part of an answer arrived."""


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Which certificates are accepted: the system's authorities and those of `ca_file`, or any if `insecure`."""

    ca_file: Path | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Return a context for all connections; raises UsageError if `ca_file` cannot be read."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
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


@dataclass(slots=True)
class _Open:
    """A connection to one authority, and whether it has served a request."""

    key: tuple[str, str, int]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    is_used: bool = False


class DocumentClient:
    """Requests documents by one slot proxy. `tls` returns the context that all clients share."""

    def __init__(self, slot_proxy: SlotProxy, tls: Callable[[], ssl.SSLContext]) -> None:
        self._slot_proxy = slot_proxy
        self._tls = tls
        self._open: _Open | None = None

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
        try:
            return await self._exchange(request, cap_bytes, heads, without_body)
        except _Stale:
            return await self._exchange(request, cap_bytes, heads, without_body)

    async def _exchange(
        self, request: "_Request", cap_bytes: int, heads: Heads | None, without_body: WithoutBody | None
    ) -> DocumentAnswer:
        keeps = False
        try:
            connection = await self._connected(request)
            answer = await _Exchange(connection, request, cap_bytes).run(heads, without_body)
            keeps = connection.http.our_state is connection.http.their_state is h11.DONE
        except ssl.SSLError as error:
            raise RendererUnfit(FailureKind.TLS, error.reason or str(error)[:DETAIL_CHARS]) from None
        except ssl.CertificateError as error:
            raise RendererUnfit(FailureKind.TLS, str(error)[:DETAIL_CHARS]) from None
        except (OSError, EOFError) as error:
            if self._open is not None and self._open.is_used:
                raise _Stale from None
            detail = str(error)[:DETAIL_CHARS] or type(error).__name__
            raise RenderError(FailureKind.NETWORK, detail, request.url) from None
        except (h11.RemoteProtocolError, h11.LocalProtocolError, UnicodeEncodeError, Undecodable) as error:
            raise RendererUnfit(FailureKind.NETWORK, str(error)[:DETAIL_CHARS]) from None
        finally:
            if not keeps:
                self.close()
        if keeps:
            connection.http.start_next_cycle()
            connection.is_used = True
        return answer

    async def _connected(self, request: "_Request") -> _Open:
        kept = self._open
        if kept is not None and kept.key == request.key and not kept.reader.at_eof():
            return kept
        self.close()
        scheme, host, port = request.key
        reader, writer = await asyncio.open_connection("127.0.0.1", self._slot_proxy.port, limit=_CHUNK)
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._open = _Open(request.key, reader, writer, http)
        if scheme == "https":
            authority = f"{f'[{host}]' if ':' in host else host}:{port}"
            writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise ConnectionError("the gateway made no tunnel")
            await writer.start_tls(self._tls(), server_hostname=host)
        return self._open

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

    @property
    def head(self) -> h11.Request:
        """The request in the gateway's form: plain HTTP in absolute form."""
        target = self.path if self.key[0] == "https" else f"http://{self.host}{self.path}"
        given = [("Host", self.host), ("Connection", "keep-alive"), *self.headers]
        # A text that is not ASCII would be refused: cookies of sites have such letters.
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in given]
        return h11.Request(method="GET", target=target, headers=headers)


class _Exchange:
    """One request and its answer on a connection."""

    def __init__(self, connection: _Open, request: _Request, cap_bytes: int) -> None:
        self._connection = connection
        self._request = request
        self._cap_bytes = cap_bytes
        self._responses = ResponseReader(connection.http, _HEAD_BYTES)
        self._broke_off = ""

    async def run(self, heads: Heads | None, without_body: WithoutBody | None) -> DocumentAnswer:
        opened, request = self._connection, self._request
        head = request.head
        opened.writer.write((opened.http.send(head) or b"") + (opened.http.send(h11.EndOfMessage()) or b""))
        response = await self._head()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        flat, body, is_cut = flat_headers(headers), b"", False
        if heads is not None:
            await heads(response.status_code, flat)
        # Without its body the connection cannot serve another request, and is not kept.
        if response.status_code not in _NO_BODY and not (
            without_body is not None and without_body(response.status_code, flat)
        ):
            body, is_cut = await self._body()
        coding = ", ".join(value for name, value in headers if name == "content-encoding")
        if coding and body:
            body, is_cut = await self._decoded(body, coding, is_cut=is_cut)
        opened.http = self._responses.h
        sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        return DocumentAnswer(
            request.url,
            response.status_code,
            tuple(headers),
            body,
            tuple(sent),
            truncated=is_cut,
            broke_off=self._broke_off,
        )

    async def _next(self) -> h11.Event:
        responses = self._responses
        while not isinstance(event := responses.read(), h11.Event):
            if event is h11.PAUSED:
                return h11.EndOfMessage()
            data = await self._connection.reader.read(_CHUNK)
            responses.receive(data)
        if responses.should_yield():
            await asyncio.sleep(0)
        return event

    async def _head(self) -> h11.Response:
        for _ in range(INFORMATIONAL + 1):
            try:
                event = await self._next()
            except h11.RemoteProtocolError:
                if self._connection.reader.at_eof() and not self._responses.answered:
                    raise ConnectionError("closed without an answer") from None
                raise
            if isinstance(event, h11.Response):
                if len(event.headers) > HEADERS:
                    raise RendererUnfit(FailureKind.NETWORK, f"the answer has more than {HEADERS} headers")
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionError("closed without an answer")
        raise RendererUnfit(FailureKind.NETWORK, f"more than {INFORMATIONAL} informational answers")

    async def _body(self) -> tuple[bytes, bool]:
        kept: list[bytes] = []
        size = 0
        while True:
            try:
                event = await self._next()
            except (h11.RemoteProtocolError, OSError) as error:
                self._broke_off = str(error)[:DETAIL_CHARS] or "it broke off"
                break
            if not isinstance(event, h11.Data):
                break
            kept.append(bytes(event.data))
            size += len(event.data)
            if size > self._cap_bytes:
                break
        body = b"".join(kept)
        return body[: self._cap_bytes], size > self._cap_bytes

    async def _decoded(self, body: bytes, coding: str, *, is_cut: bool) -> tuple[bytes, bool]:
        kept: list[bytes] = []
        size = 0
        try:
            for piece in decoded_pieces(body, coding):
                kept.append(piece)
                size += len(piece)
                if size > self._cap_bytes:
                    break
                if len(kept) > 1:
                    await asyncio.sleep(0)
        except Undecodable:
            if not (is_cut or self._broke_off):
                raise
        whole = b"".join(kept)
        return whole[: self._cap_bytes], is_cut or size > self._cap_bytes

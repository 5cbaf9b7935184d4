"""The farm's own GET requests (robots.txt, sitemaps): through the gateway like a page's, with deadlines and caps.

Invariants: a fetch ends within its deadline, redirects included; it never holds more than the cap, also of a
compressed body, and receives little more; every failure is returned, not raised. Certificates are not verified:
many servers send chains that only browsers complete, and the pages themselves are visited by a browser that does
verify.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
from ada_url import join_url

from farm.egress.authority import DETAIL_CHARS
from farm.egress.gateway import Gateway, SlotProxy
from farm.egress.response import HEADERS, INFORMATIONAL, ResponseReader
from farm.egress.shortage import SHORTAGE, is_short, is_shortage
from farm.egress.upstream import Upstream
from farm.model.egress import EgressFailure, EgressFault, Fetched, FetchFailed
from farm.model.outcome import FailureKind

REDIRECTS = 5
_CHUNK = 64 * 1024
_HEAD_BYTES = 64 * 1024
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_GZIP_OR_ZLIB = 47
_GZIP_MAGIC = b"\x1f"

Take = Callable[[bytes], Awaitable[bool]]
"""Consumes a piece of a body; returns False to stop."""


@dataclass(frozen=True, slots=True)
class FetchParams:
    """`deadline_s` bounds the whole fetch, `closing_s` the wait for its connection to close."""

    user_agent: str
    deadline_s: float = 20.0
    closing_s: float = 1.0


class Fetcher:
    """Opens a slot proxy for each fetch, so that the failures of two fetches never mix."""

    def __init__(self, gateway: Gateway, params: FetchParams) -> None:
        self._gateway = gateway
        self._params = params
        # Created once, without loading the machine's authorities: that is slow, and none is used.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def fetch(
        self,
        url: str,
        cap_bytes: int,
        take: Take | None = None,
        *,
        deadline_s: float | None = None,
        upstream: Upstream | None = None,
    ) -> Fetched | FetchFailed:
        """Fetch a URL, following up to five redirects, through the proxy `upstream` if there is one.

        `take` receives the body of a 200 in pieces; without it the body is returned. Raises nothing of the
        network.
        """
        try:
            slot_proxy = await self._gateway.open("fetch", upstream)
        except OSError as error:
            # All ports of this machine are taken, if it is not the descriptors; asyncio does not always say which.
            is_ours = is_shortage(error) or is_short()
            own = SHORTAGE if is_ours else EgressFailure(SHORTAGE.fault, f"this machine: {error}")
            return FetchFailed(FailureKind.NETWORK, own.detail, own)
        try:
            async with asyncio.timeout(deadline_s or self._params.deadline_s):
                answer = await self._once(slot_proxy, url, cap_bytes, take)
                for _ in range(REDIRECTS):
                    target = _redirect_target(answer)
                    if target is None:
                        break
                    url = target
                    answer = await self._once(slot_proxy, url, cap_bytes, take)
                return answer
        except TimeoutError:
            return FetchFailed(FailureKind.TIMEOUT, f"{url} did not answer in time", slot_proxy.failure(url))
        except ssl.SSLError as error:
            return FetchFailed(FailureKind.TLS, f"{url}: {error.reason or 'no TLS'}", slot_proxy.failure(url))
        except (OSError, EOFError, ValueError, h11.ProtocolError, zlib.error) as error:
            # ValueError: of a malformed URL, such as a port of six digits or a character that HTTP does not allow.
            if is_shortage(error):
                slot_proxy.note_shortage()
            failure = slot_proxy.failure(url)
            kind = FailureKind.NETWORK
            if failure is not None and failure.fault is EgressFault.TIMEOUT:
                kind = FailureKind.TIMEOUT
            detail = str(error)[:DETAIL_CHARS] or type(error).__name__
            return FetchFailed(kind, f"{url}: {detail}", failure)
        finally:
            await self._gateway.close_slot(slot_proxy)

    async def _once(self, slot_proxy: SlotProxy, url: str, cap_bytes: int, take: Take | None) -> Fetched:
        parts = urlsplit(url)
        async with self._connected(slot_proxy, parts.scheme, parts.hostname or "", parts.port) as (
            reader,
            writer,
        ):
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
            path = parts.path or "/"
            target = f"{path}?{parts.query}" if parts.query else path
            if parts.scheme == "http":
                target = f"http://{parts.netloc}{target}"
            request = h11.Request(
                method="GET",
                target=target,
                headers=[
                    ("Host", parts.netloc),
                    ("User-Agent", self._params.user_agent),
                    ("Accept", "*/*"),
                    ("Accept-Encoding", "gzip"),
                    ("Connection", "close"),
                ],
            )
            writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            return await _answer(url, connection, reader, cap_bytes, take)

    @asynccontextmanager
    async def _connected(
        self, slot_proxy: SlotProxy, scheme: str, host: str, port: int | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", slot_proxy.port)
        try:
            if scheme == "https":
                shown = f"[{host}]" if ":" in host else host
                authority = f"{shown}:{port or _PORTS[scheme]}"
                writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head.split(b"\r\n", 1)[0]:
                    raise ConnectionError("the gateway made no tunnel")
                await writer.start_tls(self._tls, server_hostname=host)
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._params.closing_s):
                    await writer.wait_closed()


async def _answer(
    url: str, connection: h11.Connection, stream: asyncio.StreamReader, cap_bytes: int, take: Take | None
) -> Fetched:
    head: h11.Response | None = None
    is_cut = False
    unpack, kept, size, came, more = None, bytearray(), -1, 0, True
    async with aclosing(_events(connection, stream)) as events:
        async for event in events:
            if isinstance(event, h11.Response):
                head = event
                continue
            data = bytes(event.data)
            came += len(data)
            if head is not None and size < 0:
                unpack, size = _unpacking(head, data), 0
            while data and more:
                left = cap_bytes + 1 - size
                piece = unpack.decompress(data, min(left, _CHUNK)) if unpack else data[:left]
                data = unpack.unconsumed_tail if unpack else b""
                size += len(piece)
                if take is None or head is None or head.status_code != 200:  # noqa: PLR2004
                    kept += piece
                else:
                    more = await take(piece)
                more = more and size <= cap_bytes
                if data:
                    await asyncio.sleep(0)  # a thousandth of 64 KB may expand to 64 KB
            # No body is much larger packed than it is, and zlib keeps what follows its end.
            is_cut = came > cap_bytes + _CHUNK
            if not more or is_cut or (unpack is not None and unpack.eof):
                break
    if head is None:
        raise ConnectionError("closed without an answer")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Fetched(url, head.status_code, headers, bytes(kept[:cap_bytes]), is_cut or size > cap_bytes)


def _unpacking(head: h11.Response, begin: bytes) -> "zlib._Decompress | None":
    """Return the decompressor of a body that begins so; None if it is not compressed, whatever the head says."""
    said = dict(head.headers).get(b"content-encoding", b"").lower()
    is_packed = begin[:1] == _GZIP_MAGIC if said in {b"gzip", b"x-gzip"} else said == b"deflate"
    return zlib.decompressobj(_GZIP_OR_ZLIB) if is_packed else None


async def _events(
    connection: h11.Connection, stream: asyncio.StreamReader
) -> AsyncGenerator[h11.Response | h11.Data, None]:
    """Yield the head of a response and the pieces of its body; raises ConnectionError if it has too many parts."""
    informational = 0
    reader = ResponseReader(connection, _HEAD_BYTES)
    while not isinstance(event := reader.read(), h11.EndOfMessage | h11.ConnectionClosed):
        if not isinstance(event, h11.Event):
            reader.receive(await stream.read(_CHUNK))
            continue
        if reader.should_yield():
            await asyncio.sleep(0)
        if isinstance(event, h11.InformationalResponse):
            informational += 1
            if informational > INFORMATIONAL:
                raise ConnectionError(f"more than {INFORMATIONAL} informational answers")
        elif isinstance(event, h11.Response):
            if len(event.headers) > HEADERS:
                raise ConnectionError(f"more than {HEADERS} headers")
            yield event
        elif isinstance(event, h11.Data):
            yield event


def _redirect_target(answer: Fetched) -> str | None:
    """Return the target of a redirect; None if the response is not one, or its target is not a web address."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTED or not location:
        return None
    try:
        target = join_url(answer.url, location).partition("#")[0]
    except ValueError:
        return None
    return target if target.startswith(("http://", "https://")) else None

"""The farm's own requests: GET by a gate of the gateway, as any page's, with deadlines and caps.

What always holds: a fetch ends within its deadline, redirects included; no more than the cap is ever held, also of
a body that is packed; whatever goes wrong is an answer, not an error. Certificates are not checked: many chains
are completed by browsers only, what is fetched here is a site's wishes and lists of addresses, and the pages
themselves are visited by a browser that does check.
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

from farm.egress.errors import DETAIL_CHARS
from farm.egress.gateway import Gateway
from farm.egress.http1 import EVENTS_A_TURN, HEADERS, INFORMATIONAL
from farm.egress.proxies import Upstream
from farm.egress.slot_proxy import SlotProxy
from farm.model.egress import Fetched, FetchFailed, GateFault
from farm.model.outcome import FailureKind

REDIRECTS = 5
_CHUNK = 64 * 1024
_HEAD_BYTES = 64 * 1024
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_GZIP_OR_ZLIB = 47
_GZIP_MAGIC = b"\x1f"

Take = Callable[[bytes], Awaitable[bool]]
"""Takes a piece of a body; False where no more is wanted."""


@dataclass(frozen=True, slots=True)
class FetchParams:
    """`deadline_s` is for the whole fetch; `closing_s` for what a closed connection has left to say."""

    user_agent: str
    deadline_s: float = 20.0
    closing_s: float = 1.0


class Fetcher:
    """Fetches by gates of its own, one for each fetch, so that two never hear of each other's failures."""

    def __init__(self, gateway: Gateway, params: FetchParams) -> None:
        self._gateway = gateway
        self._params = params
        # Created here because loading the machine's authorities takes long, and none are asked.
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
        """Fetch with up to five redirects, by the proxy `upstream` where one is given.

        `take` gets the body of a 200 in pieces, instead of it being kept.
        """
        gate = await self._gateway.open("fetch", upstream)
        try:
            async with asyncio.timeout(deadline_s or self._params.deadline_s):
                answer = await self._once(gate, url, cap_bytes, take)
                for _ in range(REDIRECTS):
                    target = _target(answer)
                    if target is None:
                        break
                    url = target
                    answer = await self._once(gate, url, cap_bytes, take)
                return answer
        except TimeoutError:
            return FetchFailed(FailureKind.TIMEOUT, f"{url} did not answer in time", gate.failure(url))
        except ssl.SSLError as error:
            return FetchFailed(FailureKind.TLS, f"{url}: {error.reason or 'no TLS'}", gate.failure(url))
        except (OSError, EOFError, ValueError, h11.ProtocolError, zlib.error) as error:
            # Of what is no address (a port of six digits, a letter that HTTP has no place for): ValueError.
            failure = gate.failure(url)
            kind = FailureKind.NETWORK
            if failure is not None and failure.fault is GateFault.TIMEOUT:
                kind = FailureKind.TIMEOUT
            detail = str(error)[:DETAIL_CHARS] or type(error).__name__
            return FetchFailed(kind, f"{url}: {detail}", failure)
        finally:
            await self._gateway.close_gate(gate)

    async def _once(self, gate: SlotProxy, url: str, cap_bytes: int, take: Take | None) -> Fetched:
        parts = urlsplit(url)
        async with self._connected(gate, parts.scheme, parts.hostname or "", parts.port) as (reader, writer):
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
        self, gate: SlotProxy, scheme: str, host: str, port: int | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
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
    url: str, connection: h11.Connection, reader: asyncio.StreamReader, cap_bytes: int, take: Take | None
) -> Fetched:
    head: h11.Response | None = None
    unpack, kept, size, more = None, bytearray(), -1, True
    async with aclosing(_heard(connection, reader)) as events:
        async for event in events:
            if isinstance(event, h11.Response):
                head = event
                continue
            data = bytes(event.data)
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
                    await asyncio.sleep(0)  # 64 KB may be packed into a thousandth of that
            if not more:
                break
    if head is None:
        raise ConnectionError("closed without an answer")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Fetched(url, head.status_code, headers, bytes(kept[:cap_bytes]), size > cap_bytes)


def _unpacking(head: h11.Response, begin: bytes) -> "zlib._Decompress | None":
    """Return what unpacks a body that begins so; None where nothing is packed, also where the head says it is."""
    said = dict(head.headers).get(b"content-encoding", b"").lower()
    is_packed = begin[:1] == _GZIP_MAGIC if said in {b"gzip", b"x-gzip"} else said == b"deflate"
    return zlib.decompressobj(_GZIP_OR_ZLIB) if is_packed else None


async def _heard(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> AsyncGenerator[h11.Response | h11.Data, None]:
    """Return an answer's head and the pieces of its body; raises ConnectionError where it has too many parts."""
    count = informational = 0
    while not isinstance(event := connection.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        count += 1
        if count % EVENTS_A_TURN == 0:
            await asyncio.sleep(0)
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.InformationalResponse):
            informational += 1
            if informational > INFORMATIONAL:
                raise ConnectionError(f"more than {INFORMATIONAL} informational answers")
        elif isinstance(event, h11.Response):
            if len(event.headers) > HEADERS:
                raise ConnectionError(f"more than {HEADERS} headers")
            yield event
        elif isinstance(event, h11.Data):
            yield event


def _target(answer: Fetched) -> str | None:
    """Return where a redirect leads; None where the answer is none, or leads nowhere that can be fetched."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTED or not location:
        return None
    try:
        target = join_url(answer.url, location).partition("#")[0]
    except ValueError:
        return None
    return target if target.startswith(("http://", "https://")) else None

"""Sites that speak HTTP/2: one that does it well, and frames by which others do harm."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, WindowUpdated

from farm.egress.document_client import TlsTrust
from tests.egress.servers import Talk, listening, ok, read_head
from tests.fetch.conftest import Fetch, Fetching, Trusted

PAGE = "<!doctype html><title>Brot</title><p>Bäckerei".encode()
HTML = (("content-type", "text/html; charset=utf-8"),)
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
PRIORITY, WINDOW_UPDATE = 2, 8
END_STREAM, END_HEADERS = 1, 4
STATUS_200 = b"\x88"
"""`:status: 200` as HPACK writes it."""


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame, as a server that keeps to nothing writes it."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@dataclass
class Request:
    """A request by HTTP/2, and the connection that answers it."""

    http: H2Connection
    writer: asyncio.StreamWriter
    stream: int
    headers: dict[str, str]
    windows: asyncio.Event

    def head(self, status: int = 200, *headers: tuple[str, str], end: bool = False) -> None:
        """Send the head of an answer."""
        self.http.send_headers(self.stream, [(":status", str(status)), *headers], end_stream=end)
        self.send()

    async def body(self, body: bytes, *, end: bool = True) -> None:
        """Send a body as its receiver allows it."""
        while body:
            size = min(len(body), self.http.local_flow_control_window(self.stream), 16_384)
            if not size:
                self.windows.clear()
                await self.windows.wait()
                continue
            self.http.send_data(self.stream, body[:size], end_stream=end and size == len(body))
            body = body[size:]
            self.send()
            await self.writer.drain()

    def send(self, more: bytes = b"") -> None:
        """Send what is ready, and more as it is."""
        self.writer.write(self.http.data_to_send() + more)

    async def flood(self, *frames: bytes) -> None:
        """Send the same frames until the connection ends."""
        self.send()
        piece = b"".join(frames) * 100
        while not self.writer.is_closing():
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)  # the end of a connection is told between two steps


Answer = Callable[[Request], Awaitable[None]]


@dataclass
class Http2Site:
    """A site; `requests` are those by HTTP/2, `plain` counts those by HTTP/1.1."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    plain: int = 0
    settings: bytes = b""
    """Frames that it sends behind its own settings."""
    has_http_1: bool = True

    @property
    def url(self) -> str:
        """Its origin."""
        return f"https://127.0.0.1:{self.port}"

    def talk(self, answer: Answer) -> Talk:
        """Return how it serves a connection."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                await self._http2(reader, writer, answer)
            while await read_head(reader) and self.has_http_1:
                self.plain += 1
                writer.write(ok(PAGE, b"Content-Type: text/html; charset=utf-8"))

        return serve

    async def _http2(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> None:
        self.connections += 1
        http = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        http.initiate_connection()
        writer.write(http.data_to_send() + self.settings)
        windows, answers = asyncio.Event(), set[asyncio.Task[None]]()
        try:
            while data := await reader.read(65_536):
                for event in http.receive_data(data):
                    if isinstance(event, RequestReceived):
                        named = {name.decode(): value.decode() for name, value in event.headers or ()}
                        request = Request(http, writer, event.stream_id or 0, named, windows)
                        self.requests.append(request)
                        answers.add(asyncio.ensure_future(_until_gone(answer(request))))
                    elif isinstance(event, WindowUpdated | DataReceived):
                        windows.set()
                writer.write(http.data_to_send())
        finally:
            for one in answers:
                one.cancel()
            await asyncio.gather(*answers, return_exceptions=True)


async def _until_gone(answering: Awaitable[None]) -> None:
    try:
        await answering
    except ConnectionError:
        return


async def page(request: Request) -> None:
    """Answer with a page."""
    request.head(200, *HTML)
    await request.body(PAGE)


@asynccontextmanager
async def site(trusted: Trusted, answer: Answer = page, settings: bytes = b"") -> AsyncIterator[Http2Site]:
    """Serve a site that answers each request by HTTP/2 with `answer`, and one by HTTP/1.1 with the page."""
    one = Http2Site(settings=settings)
    async with listening(one.talk(answer), tls=trusted.tls) as listener:
        one.port = listener.port
        yield one


async def opened(fetch: Fetch, trust: Trusted, **params: object) -> Fetching:
    """Return a renderer that trusts the sites."""
    return await fetch(TlsTrust(trust.ca_file), **params)


class Nowhere:
    """A writer that sends nothing."""

    def write(self, data: bytes) -> None:
        """Take it."""

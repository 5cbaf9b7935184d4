"""Small servers to stand outside: each says exactly what a test needs, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Listener:
    """A listening port and what came to it."""

    port: int = 0
    connections: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def accepted(self) -> None:
        """Count a connection."""
        self.connections += 1
        self._news.set()

    async def came(self, connections: int) -> None:
        """Wait until so many connections have come."""
        while self.connections < connections:
            self._news.clear()
            await self._news.wait()

    @property
    def url(self) -> str:
        """The port as an origin."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def listening(
    talk: Talk, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listener]:
    """Serve every connection by `talk`, which owns it; whatever is left at the end is cut."""
    listener = Listener()
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.accepted()
        task = asyncio.ensure_future(serve(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(accept, host, port, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.wait_for(server.wait_closed(), 5)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Return a request's or an answer's head; raises `IncompleteReadError` at the end."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(answer: bytes, heads: list[bytes] | None = None) -> Talk:
    """Answer every request without a body by the same bytes, and stay."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if heads is not None:
                heads.append(head)
            writer.write(answer)
            await writer.drain()

    return talk


def answering_once(answer: bytes) -> Talk:
    """Answer one request by these bytes and close, in order."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


def closing_after(answer: bytes) -> Talk:
    """Answer one request by these bytes and close, also where TLS has no half of a connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return talk


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes in."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read and say nothing."""
    while await reader.read(65536):
        pass


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a head and close."""
    await read_head(reader)


def ok(body: bytes, *headers: bytes) -> bytes:
    """Return an answer of known length."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

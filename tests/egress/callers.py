"""The browser's side of a slot proxy, byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farm.egress import SlotProxy
from farm.model.egress import EgressFault

from .servers import read_head

LIMIT_S = 20


class Caller:
    """A connection to a slot proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    def ask(self, url: str, *headers: str, method: str = "GET") -> None:
        """Send a request in absolute form, as a browser does to its proxy."""
        host = url.split("/")[2]
        lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", "Proxy-Connection: keep-alive", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def head(self) -> bytes:
        """Return the head of the answer; empty if the connection closes without one."""
        try:
            return await asyncio.wait_for(read_head(self.reader), LIMIT_S)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            return getattr(error, "partial", b"")

    async def body(self, size: int) -> bytes:
        """Return so many bytes."""
        return await asyncio.wait_for(self.reader.readexactly(size), LIMIT_S)

    async def rest(self) -> bytes:
        """Return everything up to the end."""
        try:
            return await asyncio.wait_for(self.reader.read(), LIMIT_S)
        except ConnectionError:
            return b""

    async def tunnel(self, authority: str) -> bytes:
        """Ask for a tunnel and return the answer's first line."""
        self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        return (await self.head()).partition(b"\r\n")[0]

    def cut(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


@asynccontextmanager
async def calling(slot_proxy: SlotProxy) -> AsyncIterator[Caller]:
    """Connect to a slot proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", slot_proxy.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def fetch(slot_proxy: SlotProxy, url: str, *headers: str) -> bytes:
    """Return the whole answer to a request on a connection of its own; empty if there is none."""
    async with calling(slot_proxy) as caller:
        caller.ask(url, *headers)
        head = await caller.head()
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
        )
        return head + await caller.body(length)


def fault_of(slot_proxy: SlotProxy, url: str) -> EgressFault | None:
    """Return what kept the visit from the URL's host and port; None where nothing did."""
    failure = slot_proxy.failure(url)
    return None if failure is None else failure.fault

"""Proxies to crawl through, on a loop in a thread of their own: good ones, dead ones, and one that shows captchas.

Each counts what came to it; what a test changes about one counts from the next connection on.
"""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.egress.proxies import pump
from tests.egress.servers import read_head

CAPTCHA = (
    b"<!DOCTYPE html><html><head><title>shop.example</title></head><body><p>Please enable JS</p>"
    b"<script>var dd={'rt':'c','host':'geo.captcha-delivery.com'}</script></body></html>"
)


@dataclass
class SmallProxy:
    """One proxy; `asked` are the authorities of its tunnels, `refused` how many visits it has spoiled."""

    port: int = 0
    credentials: str = ""
    source: str | None = None
    """The loopback address that it goes out by."""
    captcha: bool = False
    dead_after: int | None = None
    """After so many tunnels every connection is cut."""
    asked: list[str] = field(default_factory=list)
    spoiled: int = 0
    authorized: int = 0

    @property
    def line(self) -> str:
        """Return its line in a proxies file."""
        login = f"{self.credentials}@" if self.credentials else ""
        return f"http://{login}127.0.0.1:{self.port}"

    @property
    def label(self) -> str:
        """Return how records call it."""
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which begins with CONNECT."""
        if self.dead_after is not None and len(self.asked) >= self.dead_after:
            self.spoiled += 1
            writer.transport.abort()
            return
        head = await read_head(reader)
        expected = b"Proxy-Authorization: Basic " + base64.b64encode(self.credentials.encode())
        if self.credentials and expected not in head.split(b"\r\n"):
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            return
        self.authorized += bool(self.credentials)
        authority = head.split(b" ")[1].decode()
        self.asked.append(authority)
        writer.write(b"HTTP/1.1 200 Fine\r\n\r\n")
        if self.captcha:
            while True:
                await read_head(reader)
                self.spoiled += 1
                length = b"Content-Length: %d\r\n\r\n" % len(CAPTCHA)
                writer.write(b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\n" + length + CAPTCHA)
        host, _, port = authority.rpartition(":")
        try:
            source = (self.source, 0) if self.source else None
            site = await asyncio.open_connection(host, int(port), local_addr=source)
        except OSError:
            return
        await pump(reader, writer, *site)


@contextmanager
def proxies_in_thread(*proxies: SmallProxy) -> Iterator[None]:
    """Serve them until the context ends."""
    loop = asyncio.new_event_loop()
    talks: set[asyncio.Task[None]] = set()

    async def serve(proxy: SmallProxy) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task: Any = asyncio.current_task()
            talks.add(task)
            task.add_done_callback(talks.discard)
            try:
                await proxy.talk(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        loop.stop()

    servers = [loop.run_until_complete(serve(proxy)) for proxy in proxies]
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stop(servers), loop)
        thread.join()
        loop.close()

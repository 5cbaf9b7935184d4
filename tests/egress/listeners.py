"""Listens on every kind of socket and tells who came: nobody may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Forbidden(asyncio.DatagramProtocol):
    """One port, for TCP and for UDP; `came` says what reached it."""

    port: int = 0
    came: list[str] = field(default_factory=list)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Note a datagram."""
        self.came.append(f"udp {addr} {data[:40]!r}")

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note a connection, and what it says first."""
        self.came.append(f"tcp {writer.get_extra_info('peername')}")
        self.came[-1] += f" {await reader.read(200)!r}"
        writer.transport.abort()


@asynccontextmanager
async def forbidden(host: str = "127.0.0.1") -> AsyncIterator[Forbidden]:
    """Listen on one number, by TCP and UDP."""
    listener = Forbidden()
    server = await asyncio.start_server(listener.talk, host, 0)
    listener.port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: listener, (host, listener.port))
    try:
        yield listener
    finally:
        transport.close()
        server.close()

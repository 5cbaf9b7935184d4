"""The throughput of the gateway: small requests over many connections, and one large body.

Server, gateway and client are separate processes, so that the CPU of each can be measured.

    python -m bench.gateway_load server | gateway      prints its port, serves until its standard input ends
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import psutil
import uvloop

from bench.subjects import ROOT
from farm.egress import AllowedNetwork, Gateway, Guard

CONNECTIONS = 200
EACH = 50
SMALL = b"x" * 1000
CHUNK = bytes(2**20)
LARGE_BYTES = 2**30
MIB = 2**20
READ_BYTES = 2**18
MEMORY_EVERY = 16 * MIB


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """The figures of one load: time, and the gateway's CPU and memory. `done` counts requests, or bytes."""

    name: str
    done: int
    wall_s: float
    cpu_s: float
    before_mib: float
    grown_mib: float

    def line(self) -> str:
        """Return the figures as a line of the table."""
        if self.done < LARGE_BYTES:
            pace = f"{self.done / self.wall_s:10,.0f} requests/s  {self.cpu_s / self.done * 1e6:7.0f} us CPU each"
        else:
            pace = f"{self.done / MIB / self.wall_s:10,.0f} MiB/s       {self.cpu_s:7.2f} s CPU in all"
        return f"{self.name:34}{pace}   memory {self.before_mib:.0f} MiB, grew by {self.grown_mib:.1f} MiB"


class _Origin(asyncio.Protocol):
    """Responds to small requests at once, and to `/large` with a gibibyte, with back-pressure."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._left = 0
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for head in heads:
            if self._transport is None:
                return
            if b"/large" in head.partition(b"\r\n")[0]:
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
                self._left = LARGE_BYTES
                self._pour()
            else:
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SMALL) + SMALL)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pour()

    def _pour(self) -> None:
        while self._left and self._writable and self._transport is not None:
            self._left -= len(CHUNK)
            self._transport.write(CHUNK)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Origin, "127.0.0.1", 0, backlog=CONNECTIONS * 2)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def _gateway() -> None:
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    slot_proxy = await gateway.open("bench")
    print(slot_proxy.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await gateway.close()


@contextlib.contextmanager
def _running(role: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run the server or the gateway; yields its port and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gateway_load", role],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None:
            raise AssertionError("it was asked for")
        yield int(process.stdout.readline()), psutil.Process(process.pid)
    finally:
        process.communicate(timeout=10)


async def _head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _small(slot_proxy: int, origin: int) -> int:
    """Send requests one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", slot_proxy)
    request = f"GET http://127.0.0.1:{origin}/ HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n\r\n".encode()
    for _ in range(EACH):
        writer.write(request)
        await _head(reader)
        await reader.readexactly(len(SMALL))
    writer.close()
    return EACH


async def many(slot_proxy: int, origin: int, look: Callable[[], None]) -> int:
    """Send requests over many connections at once."""
    done = sum(await asyncio.gather(*(_small(slot_proxy, origin) for _ in range(CONNECTIONS))))
    look()
    return done


async def large(slot_proxy: int, origin: int, look: Callable[[], None], *, tunnel: bool) -> int:
    """Receive one large body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", slot_proxy)
    host = f"127.0.0.1:{origin}"
    target = "/large" if tunnel else f"http://{host}/large"
    if tunnel:
        writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await _head(reader)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await _head(reader)
    left, looked = LARGE_BYTES, LARGE_BYTES
    while left:
        data = await reader.read(min(left, READ_BYTES))
        if not data:
            raise ConnectionError(f"{left} bytes are missing")
        left -= len(data)
        if looked - left > MEMORY_EVERY:
            looked = left
            look()
    writer.close()
    return LARGE_BYTES


def measure_gateway() -> list[LoadFigures]:
    """Run each load once, each through a new gateway; return the figures."""
    works = {
        f"{CONNECTIONS * EACH:,} requests, {CONNECTIONS} connections": many,
        "1 GiB body": lambda *given: large(*given, tunnel=False),
        "1 GiB through a tunnel": lambda *given: large(*given, tunnel=True),
    }
    found = []
    for name, work in works.items():
        with _running("server") as (origin, _), _running("gateway") as (slot_proxy, process):
            uvloop.run(_small(slot_proxy, origin))  # warm up
            before = peak = process.memory_info().rss

            def look(process: psutil.Process = process) -> None:
                nonlocal peak
                peak = max(peak, process.memory_info().rss)

            spent, begun = process.cpu_times(), time.monotonic()
            done = uvloop.run(work(slot_proxy, origin, look))
            wall_s, now = time.monotonic() - begun, process.cpu_times()
            cpu_s = now.user + now.system - spent.user - spent.system
            found.append(LoadFigures(name, done, wall_s, cpu_s, before / MIB, (peak - before) / MIB))
    return found


if __name__ == "__main__":
    uvloop.run({"server": _serve, "gateway": _gateway}[sys.argv[1]]())

"""Real proxies, as small as they can be: HTTP with CONNECT and absolute form, SOCKS 4, 4a and 5."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from .servers import Talk, read_head


@dataclass
class Log:
    """What a proxy was asked for: `host:port` as it stood in the request, and the heads of HTTP requests."""

    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)


Hosts = Callable[[str], str]
"""How a proxy resolves names in its own network."""


def as_named(host: str) -> str:
    """Leave it to the system."""
    return host


def http_proxy(log: Log, credentials: str = "", hosts: Hosts = as_named, *, tunnels: bool = True) -> Talk:
    """CONNECT, unless it makes no `tunnels`, and absolute form.

    It answers 407 without the right `user:password`, and 502 where nobody answers.
    """
    expected = b"Proxy-Authorization: Basic " + base64.b64encode(credentials.encode())

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            log.heads.append(head)
            method, target, _ = head.split(b"\r\n")[0].decode().split()
            if credentials and expected not in head.split(b"\r\n"):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
                writer.write(b'Proxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
                continue
            if method == "CONNECT" and not tunnels:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                continue
            authority = target if method == "CONNECT" else target.split("/")[2]
            log.asked.append(authority)
            host, _, port = authority.rpartition(":") if ":" in authority else (authority, "", "80")
            try:
                site = await asyncio.open_connection(hosts(host.strip("[]")), int(port))
            except OSError:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                continue
            try:
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Fine\r\nX-Proxy: 1\r\n\r\n")
                    await pump(reader, writer, *site)
                    return
                kept = [line for line in head.split(b"\r\n")[1:-2] if not line.startswith(b"Proxy-")]
                path = "/" + target.split("/", 3)[3]
                site[1].write(b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *kept]) + b"\r\n\r\n")
                answer = await read_head(site[0])
                length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                writer.write(answer + await site[0].readexactly(length))
            finally:
                site[1].transport.abort()

    return talk


def socks5_proxy(log: Log, credentials: str = "", hosts: Hosts = as_named) -> Talk:
    """CONNECT by name or address; the method without credentials is not accepted where there are some."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if credentials else 0
        if method not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if credentials:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = f"{user.decode()}:{password.decode()}" == credentials
            writer.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = str(IPv4Address(await reader.readexactly(4)))
        elif kind == 4:
            host = str(IPv6Address(await reader.readexactly(16)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        log.asked.append(f"{host}:{port}")
        try:
            site = await asyncio.open_connection(hosts(host), port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await pump(reader, writer, *site)

    return talk


def socks4_proxy(log: Log, hosts: Hosts = as_named) -> Talk:
    """CONNECT by IPv4 address, or by name in the 4a form."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        port = int.from_bytes(await reader.readexactly(2), "big")
        address = await reader.readexactly(4)
        await reader.readuntil(b"\0")
        named = address[:3] == bytes(3) and address[3]
        host = (await reader.readuntil(b"\0"))[:-1].decode() if named else str(IPv4Address(address))
        log.asked.append(f"{host}:{port}")
        try:
            site = await asyncio.open_connection(hosts(host), port)
        except OSError:
            writer.write(b"\x00\x5b" + bytes(6))
            return
        writer.write(b"\x00\x5a" + bytes(6))
        await pump(reader, writer, *site)

    return talk


async def pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    site_reader: asyncio.StreamReader,
    site_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways to the end of both."""

    async def one_way(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
        else:
            sink.close()

    try:
        await asyncio.gather(one_way(reader, site_writer), one_way(site_reader, writer))
    finally:
        site_writer.transport.abort()

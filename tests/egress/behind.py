"""A slot proxy behind a proxy, in a world where every name resolves outside and the site is found by the proxy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from farm.egress import GatewayParams, SlotProxy, Upstream
from fixtures.authority import Authority, Flaw

from .conftest import OpenSlotProxy
from .proxies import Log, http_proxy, socks4_proxy, socks5_proxy
from .servers import Talk, listening

KINDS = ("http", "https", "socks5", "socks4")
SITE = "site.example"


async def public(name: str) -> Sequence[str]:
    """Resolve every name to an address outside, which nobody connects to in these tests."""
    return ("93.184.216.34",)


def home(host: str) -> str:
    """Resolve the site where the proxy stands: on this machine."""
    return "127.0.0.1" if host in {SITE, "93.184.216.34"} else host


def talk_for(kind: str, log: Log, credentials: str = "") -> Talk:
    """Return the proxy of a kind; `plain` is an HTTP proxy that makes no tunnels."""
    if kind == "socks5":
        return socks5_proxy(log, credentials, home)
    if kind == "socks4":
        return socks4_proxy(log, home)
    return http_proxy(log, credentials, home, tunnels=kind != "plain")


@asynccontextmanager
async def behind(
    kind: str,
    open_slot_proxy: OpenSlotProxy,
    tmp_path: Path,
    log: Log,
    *,
    asks: str = "",
    shows: str = "",
    flaw: Flaw = Flaw.NONE,
) -> AsyncIterator[SlotProxy]:
    """Open a slot proxy behind a proxy that asks for credentials and is shown some."""
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    tls = authority.issue(flaw).server_context(tmp_path) if kind == "https" else None
    async with listening(talk_for(kind, log, asks), tls=tls) as proxy:
        scheme = "http" if kind == "plain" else kind
        upstream = Upstream.parse(f"{scheme}://{shows}127.0.0.1:{proxy.port}")
        params = GatewayParams(ca_file=ca_file)
        yield await open_slot_proxy(allow=(), lookup=public, params=params, upstream=upstream)

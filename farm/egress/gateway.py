"""The gateway: a forward proxy on loopback with one port per slot.

Invariants: all traffic of a slot's browser passes through its slot proxy or is dropped; nothing is left open when
`close` has returned. The farm's own fetches (robots.txt, sitemaps) use slot proxies too.
"""

import asyncio

from farm.egress.dial import Dialer
from farm.egress.guard import Guard
from farm.egress.params import GatewayParams
from farm.egress.peer import PeerCheck
from farm.egress.proxy_file import Upstream
from farm.egress.resolve import Lookup, Resolver, system_lookup
from farm.egress.slot_proxy import SlotProxy


class Gateway:
    """Opens and closes the slot proxies, which share the guard, the resolver and the limits."""

    def __init__(
        self, guard: Guard, params: GatewayParams | None = None, *, lookup: Lookup = system_lookup
    ) -> None:
        self._params = params or GatewayParams()
        self._resolver = Resolver(ttl_s=self._params.dns_ttl_s, limit_s=self._params.dns_s, lookup=lookup)
        self._slot_proxies: dict[int, SlotProxy] = {}
        self._dialer = Dialer(guard, self._resolver, self._params, own_ports=self._slot_proxies)
        self._peers: PeerCheck | None = None
        self._running = False

    async def start(self) -> None:
        """Allow slot proxies to be opened; raises `UsageError` if `ca_file` cannot be read."""
        if self._params.ca_file is not None:
            self._dialer.trust()
        self._peers = PeerCheck()
        self._running = True

    async def open(self, slot_name: str, upstream: Upstream | None = None) -> SlotProxy:
        """Open a port for a slot; raises RuntimeError if the gateway is not running."""
        if not self._running or self._peers is None:
            raise RuntimeError("the gateway is not running")
        slot_proxy = SlotProxy(slot_name, self._dialer, self._params, upstream, self._peers)
        await slot_proxy.listen()
        self._slot_proxies[slot_proxy.port] = slot_proxy
        return slot_proxy

    async def close_slot(self, slot_proxy: SlotProxy) -> None:
        """Close a slot's port and all its connections."""
        self._slot_proxies.pop(slot_proxy.port, None)
        await slot_proxy.close()

    async def close(self) -> None:
        """Close every slot proxy."""
        self._running = False
        await asyncio.gather(
            *(self.close_slot(slot_proxy) for slot_proxy in tuple(self._slot_proxies.values()))
        )
        await self._resolver.close()
        if self._peers is not None:
            self._peers.close()
            self._peers = None

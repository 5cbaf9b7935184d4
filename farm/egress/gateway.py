"""The gateway: a forward proxy on loopback with one port per slot.

What always holds: everything that a slot's browser sends passes here or goes nowhere; nothing is left open when
`close` has returned. The farm's own fetches (robots.txt, sitemaps) use a gate like any slot.
"""

import asyncio

from farm.egress.dial import Dialer
from farm.egress.guard import Guard
from farm.egress.params import GatewayParams
from farm.egress.peer import PeerCheck
from farm.egress.proxies import Upstream
from farm.egress.resolve import Lookup, Resolver, system_lookup
from farm.egress.slot_proxy import SlotProxy


class Gateway:
    """Opens and closes the gates; what they share is the guard, the names and the deadlines."""

    def __init__(
        self, guard: Guard, params: GatewayParams | None = None, *, lookup: Lookup = system_lookup
    ) -> None:
        self._params = params or GatewayParams()
        self._resolver = Resolver(ttl_s=self._params.dns_ttl_s, limit_s=self._params.dns_s, lookup=lookup)
        self._gates: dict[int, SlotProxy] = {}
        self._dialer = Dialer(guard, self._resolver, self._params, own_ports=self._gates)
        self._peers: PeerCheck | None = None
        self._running = False

    async def start(self) -> None:
        """Be ready to open gates; raises `UsageError` where `ca_file` cannot be used."""
        if self._params.ca_file is not None:
            self._dialer.trust()
        self._peers = PeerCheck()
        self._running = True

    async def open(self, slot_name: str, upstream: Upstream | None = None) -> SlotProxy:
        """Open a port for a slot."""
        if not self._running or self._peers is None:
            raise RuntimeError("the gateway is not running")
        gate = SlotProxy(slot_name, self._dialer, self._params, upstream, self._peers)
        await gate.listen()
        self._gates[gate.port] = gate
        return gate

    async def close_gate(self, gate: SlotProxy) -> None:
        """Close a slot's port and all its connections."""
        self._gates.pop(gate.port, None)
        await gate.close()

    async def close(self) -> None:
        """Close every gate."""
        self._running = False
        await asyncio.gather(*(self.close_gate(gate) for gate in tuple(self._gates.values())))
        await self._resolver.close()
        if self._peers is not None:
            self._peers.close()
            self._peers = None

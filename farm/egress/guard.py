"""Which addresses may be reached: the farm's answer to server-side request forgery.

Pure: it resolves no name and opens nothing. Invariants: a verdict concerns an address, never a name or a notation,
so `localhost`, `0x7f.1` and a name that resolves to an internal address are treated alike; an address that embeds
another one (NAT64, 6to4, ...) is allowed only if both are; a network that the operator allows is allowed in its
IPv4-mapped form too, since a socket treats both as the same address. `dial` resolves, and connects to the very
address that was checked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

from farm.model.errors import UsageError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MAX_PORT = 65_535

_OTHERS = (
    "1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 "
    "115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 "
    "556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 "
    "6666 6667 6668 6669 6679 6697 10080"
)
OTHER_PROTOCOLS = frozenset(map(int, _OTHERS.split()))
"""Ports that no browser requests, since their servers may take a request for commands: "bad ports" of the Fetch
standard."""

_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]+)\](?P<length>/\d+)?(?::(?P<port>\d+))?")
_DOTTED = re.compile(r"(?P<host>[\d.]+)(?P<length>/\d+)?(?::(?P<port>\d+))?")
_BARE_V6 = re.compile(r"(?P<host>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(?P<length>/\d+)?(?P<port>)")

# The first match gives the reason, so narrower networks come first.
_INSIDE_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "metadata"),
        ("169.254.170.2/32", "metadata"),  # AWS ECS task credentials
        ("100.100.100.200/32", "metadata"),  # Alibaba Cloud
        ("192.0.0.192/32", "metadata"),  # Oracle Cloud
        ("168.63.129.16/32", "metadata"),  # Azure's wire server, which looks like a public address
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "reserved"),  # Linux connects 0.x to this machine
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_INSIDE_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::254/128", "metadata"),  # AWS
        ("fd20:ce::254/128", "metadata"),  # Google Cloud
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "reserved"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
# Global unicast, the only range that IANA allocates for the public internet; the rest is reserved.
_GLOBAL_V6 = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_ZERO = IPv4Network("0.0.0.0/8")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))


@dataclass(frozen=True, slots=True)
class AllowedNetwork:
    """A network that the operator allows, on one port or (None) on all."""

    network: IPNetwork
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "AllowedNetwork":
        """Parse `CIDR[:port]`: `10.0.0.0/8`, `127.0.0.1:8080`, `fd00::/8`, `[::1]/128:8080`.

        A network of IPv4-mapped addresses is returned as the IPv4 network that it is. Raises UsageError.
        """
        text = text.strip()
        found = _BRACKETED.fullmatch(text) or _DOTTED.fullmatch(text) or _BARE_V6.fullmatch(text)
        if found is None or ("[" in text and ":" not in found["host"]):
            raise UsageError(
                f"Cannot read the network {text!r}: write CIDR[:port], such as 10.0.0.0/8 or [::1]/128:8080."
            )
        written = found["host"] + (found["length"] or "")
        try:
            network = _unmapped(ip_network(written, strict=False))
        except ValueError:
            raise UsageError(f"Cannot read the network {text!r}: {written!r} is not an address.") from None
        if network.network_address != _unmapped(ip_network(found["host"])).network_address:
            # Allowing more than intended would be the worse mistake.
            raise UsageError(f"The network {text!r} has bits set behind its mask: write {network}.")
        port = int(found["port"]) if found["port"] else None
        if port is not None and not 0 < port <= MAX_PORT:
            raise UsageError(f"The network {text!r} names the port {port}: ports are 1 to {MAX_PORT}.")
        return cls(network, port)

    def covers(self, ip: IPAddress, port: int) -> bool:
        """Return whether this address and port are in the network."""
        if self.port is not None and self.port != port:
            return False
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        return ip in self.network or (mapped is not None and mapped in self.network)


def _unmapped(network: IPNetwork) -> IPNetwork:
    """Return the IPv4 network that an IPv4-mapped one (`::ffff:10.0.0.0/104`) is, and any other as it is."""
    if isinstance(network, IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    address = IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
    return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an address may be reached; if not, `reason` is its kind (`loopback`, `private`, ...)."""

    allowed: bool
    reason: str = ""


_ALLOWED = Verdict(allowed=True)


class Guard:
    """Allows the public internet, and the networks that the operator allows."""

    def __init__(self, allow: Sequence[AllowedNetwork] = ()) -> None:
        self._allow = tuple(allow)

    def decide(self, ip: IPAddress, port: int) -> Verdict:
        """Return the verdict on an address and a port: a port of another protocol is not public."""
        verdict = self._decide_alone(ip, port)
        if verdict.allowed and isinstance(ip, IPv6Address):
            for carried in embedded(ip):
                inner = self._decide_alone(carried, port)
                if not inner.allowed:
                    return Verdict(allowed=False, reason=f"{inner.reason} inside {ip}")
        return verdict

    def _decide_alone(self, ip: IPAddress, port: int) -> Verdict:
        reason = inside(ip) or ("a port of another protocol" if port in OTHER_PROTOCOLS else "")
        if not reason or any(network.covers(ip, port) for network in self._allow):
            return _ALLOWED
        return Verdict(allowed=False, reason=reason)


def inside(ip: IPAddress) -> str:
    """Return the kind of an address that is not public (`loopback`, `private`, ...); "" if it is public."""
    if isinstance(ip, IPv4Address):
        return next((reason for network, reason in _INSIDE_V4 if ip in network), "")
    reason = next((reason for network, reason in _INSIDE_V6 if ip in network), "")
    return reason or ("" if ip in _GLOBAL_V6 else "reserved")


def is_this_machine(ip: IPAddress) -> bool:
    """Whether a connection to the address comes to this machine: loopback, unspecified, or one that carries it."""
    if isinstance(ip, IPv6Address):
        return ip.is_loopback or ip.is_unspecified or any(map(is_this_machine, embedded(ip)))
    # Linux connects 0.x to this machine.
    return ip.is_loopback or ip in _ZERO


def embedded(ip: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses embedded in an IPv6 address, to which a translator would deliver."""
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    if ip.teredo is not None:
        return ip.teredo
    if int(ip) > 1 and any(ip in network for network in _NAT64):
        return (IPv4Address(int(ip) & 0xFFFF_FFFF),)
    return ()

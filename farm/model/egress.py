"""How the gateway failed to reach an address, which the browser's own error does not say."""

from dataclasses import dataclass
from enum import StrEnum


class GateFault(StrEnum):
    """What went wrong between the gateway and the address that a page wanted."""

    REFUSED = "refused"
    """The guard: the address lies in a network that is not allowed. Never retried, never the site's fault."""
    DNS = "dns"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    UPSTREAM = "upstream"
    """The proxy that the gateway was told to use: it cannot be reached, or does not let us in."""
    TUNNEL = "tunnel"
    """What came by way of the proxy broke: whether it was the proxy or the site cannot be told from here."""
    NOT_NOW = "not_now"
    """The farm itself: the site is blocked, or its turn was too far off. Nothing was sent."""
    TOO_LARGE = "too_large"
    """More bytes came than a visit may bring; everything of it was closed."""


@dataclass(frozen=True, slots=True)
class GateFailure:
    """The last failure towards one authority (`host:port`) during a visit; `detail` has no credentials."""

    fault: GateFault
    detail: str

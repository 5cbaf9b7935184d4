"""What the way to a site brings back: answers, failures of the gateway, and bans of proxies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from farm.model.outcome import FailureKind


class EgressFault(StrEnum):
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
class EgressFailure:
    """The last failure towards one authority (`host:port`) during a visit; `detail` has no credentials."""

    fault: EgressFault
    detail: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `url` is where it came from in the end; header names are in lower case.

    `body` is decoded, and empty where it was streamed. `status` is a redirect's where there were too many of
    them. `truncated` says that a cap cut the body.
    """

    url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No answer. `gate` is what the gateway says about it, where it does."""

    kind: FailureKind
    detail: str
    egress_failure: EgressFailure | None = None


@dataclass(frozen=True, slots=True)
class Ban:
    """A proxy, by its label, is out for `left_s` seconds, for one site where `site` names it.

    `bans` counts the bans in a row; 0 says that the proxy is back.
    """

    proxy: str
    site: str | None
    left_s: float
    bans: int


@dataclass(frozen=True, slots=True)
class AllProxiesBanned:
    """No proxy may be used for a site before `wait_s` have passed; `by_site` where the site showed blocks."""

    wait_s: float
    by_site: bool

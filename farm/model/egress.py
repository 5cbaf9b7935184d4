"""Results of requests to sites: answers, failures of the gateway, and bans of proxies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from farm.model.outcome import FailureKind


class EgressFault(StrEnum):
    """What failed between the gateway and the address that a page requested."""

    REFUSED = "refused"
    """The guard refused: the address is in a network that is not allowed. Never retried."""
    DNS = "dns"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    UPSTREAM = "upstream"
    """The upstream proxy cannot be reached, or refuses the farm."""
    TUNNEL = "tunnel"
    """A connection through the proxy broke; whether by the proxy or by the site is unknown."""
    NOT_NOW = "not_now"
    """The farm itself did not send: the site is blocked, or the wait for its pace was too long."""
    TOO_LARGE = "too_large"
    """The visit received more bytes than it may; its connections were closed."""
    SHORTAGE = "shortage"
    """This machine has no file descriptor left; neither the site nor a proxy is at fault."""


@dataclass(frozen=True, slots=True)
class EgressFailure:
    """The last failure towards one authority (`host:port`) during a visit; `detail` has no credentials."""

    fault: EgressFault
    detail: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `url` is its address after redirects; header names are in lower case.

    `body` is decoded, and empty if it was streamed. `status` is a redirect's where there were too many of
    them. `truncated` says that a cap cut the body.
    """

    url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No answer. `gate` is the gateway's failure, None if it had none."""

    kind: FailureKind
    detail: str
    egress_failure: EgressFailure | None = None


def header_text(text: str) -> str:
    """Return a text as a header has it, in the UTF-8 that a browser sends, each byte a character of Latin-1."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


UNKNOWN_TYPES = frozenset({"application/unknown", "unknown/unknown"})
"""What some servers say where they do not know: browsers look at the beginning of the document then."""
LINE_BY_LINE = frozenset({"set-cookie", "x-robots-tag"})
"""Headers whose lines are not joined by commas: a comma within one of them means something else."""


def flat_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case; values of one name are joined by commas, as HTTP has it.

    Those of `LINE_BY_LINE` are joined by line breaks.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return {name: ("\n" if name in LINE_BY_LINE else ", ").join(values) for name, values in found.items()}


def flat_cdp_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return CDP's headers as `flat_headers` does: there a line break lies between the values of one name."""
    return flat_headers((name, line) for name, value in headers.items() for line in str(value).split("\n"))


def media_type_of(content_type: str) -> str:
    """Return the media type of a Content-Type in lower case, as a browser reads it; empty if it says none.

    Of several, with commas, the last counts. What has no slash, or says that it is unknown, is none.
    """
    whole = [one for one in content_type.split(",") if "/" in one.partition(";")[0] and one.strip() != "*/*"]
    words = whole[-1].partition(";")[0].partition("(")[0].lower().split() if whole else []
    return words[0] if words and words[0] not in UNKNOWN_TYPES else ""


def leads_on(headers: Mapping[str, str]) -> bool:
    """Return whether the head of a document leads its visitors on to another address, by `Refresh`."""
    return bool(headers.get("refresh", "").replace(",", ";").partition(";")[2].strip())


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """The answer to one request for a document; redirects are not followed.

    Heads are (name, value) pairs, unchanged; `headers` are the answer's, `request_headers` the request's.
    `body` is without its content encoding. `truncated` says that a cap cut it, `broke_off` how its connection
    broke before all of it was there; empty if it did not.
    """

    url: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    request_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    truncated: bool = False
    broke_off: str = ""

    def header(self, name: str) -> str:
        """Return the first header of a name in lower case, empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Ban:
    """A proxy, by its label, is banned for `left_s` seconds; for one site where `site` names it.

    `bans` counts the bans in a row; 0 says that the proxy is available again.
    """

    proxy: str
    site: str | None
    left_s: float
    bans: int


@dataclass(frozen=True, slots=True)
class ProxyUse:
    """A proxy, by its label, as a node uses it: `slots` are on it, and `score` in [0, 1] says how well it works.

    `state` is `available`, `on trial` or `banned`, for `banned_s` more seconds after `bans` bans in a row; for
    `sites` it is banned singly. `latency_ms` is 0 where it is unknown.
    """

    label: str
    state: str = "available"
    score: float = 1.0
    slots: int = 0
    bans: int = 0
    banned_s: float = 0.0
    sites: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ProxyBytes:
    """How many bytes the crawl's proxies carried, both ways, and how many they may; a `budget` of 0 is none."""

    used: int = 0
    budget: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether there is a budget and it is used up."""
        return 0 < self.budget <= self.used


@dataclass(frozen=True, slots=True)
class AllProxiesBanned:
    """Every proxy is banned for a site for `wait_s` more seconds; `by_site` where the site showed blocks."""

    wait_s: float
    by_site: bool

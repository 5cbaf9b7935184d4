"""How a visit can fail, and the four ways to settle a lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from farm.model.task import UrlTask


class FailureKind(StrEnum):
    """The reasons for which a URL can end in the dead letters."""

    HTTP_5XX = "http_5xx"
    TIMEOUT = "timeout"
    NETWORK = "network"
    TLS = "tls"
    CRASH = "crash"
    WORKER_DIED = "worker_died"
    THROTTLED = "throttled"
    BLOCKED = "blocked"
    PROXY = "proxy"
    HANDLER = "handler"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"


class SkipReason(StrEnum):
    """Why a URL is not visited, as it stands in `skipped.jsonl`."""

    OUT_OF_SCOPE = "out_of_scope"
    EXCLUDED = "excluded"
    ROBOTS = "robots"
    DEPTH = "depth"
    SCHEME = "scheme"
    PRIVATE_NETWORK = "private_network"
    TOO_LONG = "too_long"
    TRAP = "trap"
    NOFOLLOW = "nofollow"
    DUPLICATE_CONTENT = "duplicate_content"


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: the links go into the frontier in the same transaction.

    `seen` are fingerprints that count as visited with this one (redirect targets). `rendered` says
    whether the visit counts towards the page limit; a late skip does not.
    """

    links: Sequence[UrlTask] = ()
    seen: Sequence[str] = ()
    rendered: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Visit it again after `delay_s`. `throttled` puts it off without consuming an attempt."""

    reason: FailureKind
    delay_s: float
    detail: str = ""
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up: the URL goes to the dead letters with its reason, and can be replayed from there."""

    reason: FailureKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Given back without fault (a drain, a proxy's failure): no attempt is consumed, due at once."""

    reason: str


Settlement = Ack | Retry | Bury | Release


class Settled(StrEnum):
    """What the frontier says to a settlement."""

    OK = "ok"
    DUP = "dup"
    """The same settlement of the same lease, repeated: it had been carried out."""
    STALE = "stale"
    """Somebody else holds the lease now, or it was settled otherwise: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What it means where a visit ended.

    `seen` are the fingerprints of the redirect's stations, which count as visited. `skip` says why the page
    is not kept. `extension` is what the scope grows by: a seed led to another host of its own site. `nofollow`
    says that the page wants none of its links followed.
    """

    seen: tuple[str, ...] = ()
    skip: SkipReason | None = None
    extension: str | None = None
    nofollow: bool = False

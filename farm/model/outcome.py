"""How a visit can fail, and the four ways to settle a lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from farm.model.task import UrlTask
from farm.model.tiers import TierNotes


class ExplainedValue(StrEnum):
    """A value with what it means: its text is the value alone, and `meaning` is what help and documents say."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make a member of its value and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class FailureKind(ExplainedValue):
    """The reasons for which a URL can end in the dead letters."""

    HTTP_5XX = "http_5xx", "The site answered each attempt with a server error (500 to 599, without 503)."
    TIMEOUT = "timeout", "Each attempt took longer than a deadline."
    NETWORK = "network", "The site could not be reached: DNS, connection or protocol."
    TLS = "tls", "The site's certificate or its TLS was refused."
    CRASH = "crash", "The page or its browser crashed on each attempt."
    WORKER_DIED = "worker_died", "Nodes died while they visited this URL and no other."
    THROTTLED = "throttled", "The site asked for fewer requests (429, 503) each time the URL was due."
    BLOCKED = "blocked", "The site showed a block, a captcha or a challenge at each address."
    PROXY = "proxy", "No proxy could bring the page."
    CORRUPT = "corrupt", "The frontier's entry cannot be read, or the record cannot be written as JSON."
    TOO_LARGE = "too_large", "The page brought more bytes than a visit may."
    HANDLER = "handler", "The user's code failed on the page at each attempt, or gave it up."


class SkipReason(StrEnum):
    """Why a URL is not visited; the reasons in `skipped.jsonl`."""

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
    HANDLER = "handler"


@dataclass(frozen=True, slots=True)
class Ack:
    """The visit is done: its links go into the frontier in the same transaction.

    `seen` are fingerprints that count as visited with this one (redirect targets). `rendered` says
    whether the visit counts towards the page limit; a late skip does not. `tiers` is what the visit shows of the
    renderers at its template; None where that is not asked.
    """

    links: Sequence[UrlTask] = ()
    seen: Sequence[str] = ()
    rendered: bool = True
    tiers: TierNotes | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Visit the URL again after `delay_s`; with `throttled` that consumes no attempt."""

    reason: FailureKind
    delay_s: float
    detail: str = ""
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Give the URL up: it goes to the dead letters with its reason, and can be replayed from there."""

    reason: FailureKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lease back (a drain, a proxy's failure): no attempt is consumed, and the URL is due at once."""

    reason: str


@dataclass(frozen=True, slots=True)
class FailedVisit:
    """A visit that was not done, as the history of its URL has it.

    `phase` is how far it came: `robots`, `navigate`, `settle`, `judge`, `handler` or `commit`. `proxy` is a label
    without credentials; `status` is 0 without an answer. `timings_ms` may have `lease`, `wait` (for the site's
    turn), `navigate`, `settle` and `total`. `snapshot` are paths in the node's output folder.
    """

    reason: str
    detail: str = ""
    phase: str = ""
    node: str = ""
    context: str = ""
    proxy: str | None = None
    status: int = 0
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    snapshot: Sequence[str] = ()


Settlement = Ack | Retry | Bury | Release
Judgement = Retry | Bury | Release | SkipReason
"""How a visit without a record is settled; a skip is acknowledged with its reason."""


class Settled(StrEnum):
    """The frontier's answer to a settlement."""

    OK = "ok"
    DUP = "dup"
    """A repetition: the same settlement of the same lease had been carried out."""
    STALE = "stale"
    """Another worker holds the lease now, or it was settled otherwise: nothing was changed."""


@dataclass(frozen=True, slots=True)
class RedirectOutcome:
    """What follows from the final address of a visit.

    `seen` are the fingerprints of the redirects' addresses, which count as visited. `skip` is why the page is not
    kept. `extension` is what is added to the scope: a seed redirected to another host of its own site. With
    `nofollow` none of the page's links is followed.
    """

    seen: tuple[str, ...] = ()
    skip: SkipReason | None = None
    extension: str | None = None
    nofollow: bool = False

"""How a visit can fail, and the four ways to settle a lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from farm.model.task import UrlTask
from farm.model.text import well_formed
from farm.model.tiers import TierNotes


class ExplainedValue(StrEnum):
    """A string value with a `meaning`, its description in help and documents."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Create a member from its value and its meaning."""
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
    THROTTLED = "throttled", "The site answered 429 or 503 each time the URL was due."
    BLOCKED = "blocked", "The site showed a block, a captcha or a challenge at each address."
    PROXY = "proxy", "The page could not be loaded through any proxy."
    CORRUPT = "corrupt", "The frontier's entry cannot be read, or the record cannot be written as JSON."
    TOO_LARGE = "too_large", "The page exceeded the bytes that a visit may receive."
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
    whether the visit counts towards the page limit; a late skip does not. `tiers` are the visit's results for the
    renderers at its template; None without `--render auto`.
    """

    links: Sequence[UrlTask] = ()
    seen: Sequence[str] = ()
    rendered: bool = True
    tiers: TierNotes | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Visit the URL again after `delay_s`; with `throttled` that consumes no attempt.

    A URL that is throttled blocks its site for as long, unless `blocks_site` is false: the site has not asked for
    the delay.
    """

    reason: FailureKind
    delay_s: float
    detail: str = ""
    throttled: bool = False
    blocks_site: bool = True

    def __post_init__(self) -> None:
        # A handler can put the text of a page into its reason; Redis, the log and a trace hold only UTF-8.
        object.__setattr__(self, "detail", well_formed(self.detail))


@dataclass(frozen=True, slots=True)
class Bury:
    """Give the URL up: it goes to the dead letters with its reason, and can be replayed from there."""

    reason: FailureKind
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", well_formed(self.detail))


@dataclass(frozen=True, slots=True)
class Release:
    """Release the lease (a drain, a proxy's failure): no attempt is consumed, and the URL is due at once."""

    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", well_formed(self.reason))


@dataclass(frozen=True, slots=True)
class FailedVisit:
    """A failed visit in the history of its URL.

    `phase` is the one in which it failed: `robots`, `navigate`, `settle`, `judge`, `handler` or `commit`. `proxy`
    is a label without credentials; `status` is 0 without an answer. `timings_ms` may have `lease`, `wait` (for the
    site's pace), `navigate`, `settle` and `total`. `snapshot` are paths in the node's output folder.
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
    """A repetition: this lease was settled in the same way before."""
    STALE = "stale"
    """Another worker holds the lease now, or it was settled in another way: nothing was changed."""


@dataclass(frozen=True, slots=True)
class RedirectOutcome:
    """The consequences of the final address of a visit.

    `seen` are the fingerprints of the redirects' addresses, which count as visited. `skip` is why the page is not
    kept. `extension` is added to the scope after a seed redirected to another host of its own site. With
    `nofollow` none of the page's links is followed.
    """

    seen: tuple[str, ...] = ()
    skip: SkipReason | None = None
    extension: str | None = None
    nofollow: bool = False

"""Every failure has a class: the one tree that crosses the rooms.

A foreign error (Playwright's, Redis's, the system's) is translated into it at the edge of its room. The
text of an error that a user can cause is one sentence that names the remedy.
"""

from farm.model.outcome import FailureKind


class FarmError(Exception):
    """The root. `exit_code` is what `farm` ends with when the error reaches the user."""

    exit_code = 1


class UsageError(FarmError):
    """The command or the configuration cannot be meant."""

    exit_code = 2


class FrontierUnavailable(FarmError):
    """Redis does not answer, or refuses."""

    exit_code = 3


class CrawlUnreadable(FrontierUnavailable):
    """What stands in Redis under the crawl's name is not what a farm wrote.

    Where Redis may be away this may happen too: what one call stumbles over need not be in the next one's way.
    """

    exit_code = 2


class FrontierRefused(FarmError):
    """Redis answers, but the crawl in it cannot be worked with (another schema, an eviction policy)."""

    exit_code = 2


class NoSuchCrawl(FrontierRefused):
    """Nothing stands in Redis under the crawl's name."""


class CrawlHalted(FarmError):
    """The crawl was stopped or drained and is not to go on yet."""

    exit_code = 5


class CrawlGone(FrontierRefused):
    """The crawl that was worked on is there no more: it was deleted, or started anew."""


class BrowserUnavailable(FarmError):
    """No browser can be started."""

    exit_code = 4


class OutputUnwritable(FarmError):
    """A record cannot be kept."""

    exit_code = 6


class AllProxiesDown(FarmError):
    """No proxy works, and none has come back within the patience."""

    exit_code = 7


class NothingRecorded(FarmError):
    """A crawl is finished, and every URL of it was refused or given up."""

    exit_code = 8


class RenderError(FarmError):
    """A visit failed for a reason that belongs to the page or its site; the slot is still good.

    `url` is where the main request had got to, after redirects, where that is known.
    """

    def __init__(self, kind: FailureKind, detail: str, url: str | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.url = url


class SlotLost(FarmError):
    """The slot's page, context or engine died or hung during a visit; the slot replaces it by itself.

    `innocent` says that the URL had no part in it: the page visited before would not let go.
    """

    def __init__(self, kind: FailureKind, detail: str, *, innocent: bool = False) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.innocent = innocent

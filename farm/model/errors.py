"""The tree of errors that cross the packages: every failure has a class.

The package that calls a library translates its errors (Playwright's, Redis's, the system's) into these. The text
of an error that a user can cause is one sentence that names the remedy.
"""

from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage


class FarmError(Exception):
    """The root. `exit_code` is the exit code of `farm` when the error reaches the user."""

    exit_code = 1


class UsageError(FarmError):
    """The command or the configuration is wrong."""

    exit_code = 2


class FrontierUnavailable(FarmError):
    """Redis does not answer, or refuses the connection."""

    exit_code = 3


class CrawlUnreadable(FrontierUnavailable):
    """The keys of the crawl in Redis hold data that no farm wrote.

    A call that tolerates an unavailable Redis tolerates this too: the next call may not read the same data.
    """

    exit_code = 2


class FrontierUnwritable(FrontierUnavailable):
    """The private Redis cannot write its data to the disk, which is full or broken."""

    exit_code = 6


class FrontierRefused(FarmError):
    """Redis answers, but the crawl in it cannot be used (another schema, an eviction policy)."""

    exit_code = 2


class NoSuchCrawl(FrontierRefused):
    """Redis has no crawl of this name."""


class CrawlHalted(FarmError):
    """The crawl was stopped or drained and has not been resumed."""

    exit_code = 5


class CrawlGone(FrontierRefused):
    """The crawl was deleted or started anew while this node worked on it."""


class BrowserUnavailable(FarmError):
    """No browser can be started."""

    exit_code = 4


class OutputUnwritable(FarmError):
    """A record cannot be written."""

    exit_code = 6


class AllProxiesDown(FarmError):
    """No proxy worked for `proxy_patience` seconds."""

    exit_code = 7


class LoginFailed(FarmError):
    """A site's login does not lead to a session."""

    exit_code = 2


class NothingRecorded(FarmError):
    """A crawl is finished, and every URL of it was refused or given up."""

    exit_code = 8


class RenderError(FarmError):
    """A visit failed for a reason that belongs to the page or its site; the slot is still good.

    `url` is the address that the main request had reached after redirects, None if that is unknown.
    """

    def __init__(self, kind: FailureKind, detail: str, url: str | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.url = url


class SlotLost(FarmError):
    """The slot's page, context or engine died or hung during a visit; the slot replaces it itself.

    `innocent` says that the URL did not cause it: the page before did not close, or the engine died.
    """

    def __init__(self, kind: FailureKind, detail: str, *, innocent: bool = False) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.innocent = innocent


class RendererUnfit(FarmError):
    """A renderer other than the browser cannot render this page, but a browser might; its slot is still good.

    `kind` and `detail` are how the visit fails where there is no browser; `page` is what came, None without any.
    `innocent` says that the page did not cause it: the renderer itself is not there, or has too much to do.
    """

    def __init__(
        self, kind: FailureKind, detail: str, page: RenderedPage | None = None, *, innocent: bool = False
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.page = page
        self.innocent = innocent


class NotDelivered(FarmError):
    """The user's webhook did not accept an event; the text says why, without the address."""

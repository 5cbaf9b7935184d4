"""What failed on the page of one visit, as the driver tells it (`js/page_errors.cjs`).

What always holds: at most `MOST_ERRORS` errors, each once, in the order in which they came.
"""

from collections.abc import Mapping
from typing import Any

from farm.model.page import MOST_ERRORS, PageError

URL_CHARS = 2_000
MESSAGE_CHARS = 300


class PageErrors:
    """One tab's: `note` takes the driver's event `Farm.pageError`, `forget` starts a visit."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], PageError] = {}
        self.more = 0
        """How many came beside those that are kept, repeats included."""

    def forget(self) -> None:
        """Start a visit: the errors of the one before are not this one's."""
        self._found.clear()
        self.more = 0

    def note(self, event: Mapping[str, Any]) -> None:
        """Take an error in, or the number of those that the driver has counted only."""
        if "more" in event:
            self.more += int(event["more"])
            return
        kind, url, message = (str(event.get(name, "")) for name in ("kind", "url", "message"))
        error = PageError(kind, url[:URL_CHARS], message[:MESSAGE_CHARS], str(event.get("type", "")))
        # Why a request failed may be told in two ways: it failed once.
        known = (kind, error.url, "" if kind == "request" else error.message)
        if known in self._found:
            return
        if len(self._found) >= MOST_ERRORS:
            self.more += 1
            return
        self._found[known] = error

    @property
    def found(self) -> tuple[PageError, ...]:
        """The errors so far."""
        return tuple(self._found.values())

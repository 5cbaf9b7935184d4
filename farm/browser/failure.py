"""Translates Playwright's errors into the farm's own."""

import re

from playwright.async_api import Error
from playwright.async_api import TimeoutError as PlaywrightTimeout

from farm.model.errors import RenderError, SlotLost
from farm.model.outcome import FailureKind

NET_ERROR = re.compile(r"net::(ERR_[A-Z0-9_]+)")
NO_PAGE = ("Download is starting", "net::ERR_ABORTED", "net::ERR_HTTP_RESPONSE_CODE_FAILURE")
NAVIGATED = (
    "Execution context was destroyed",
    "Cannot find context",
    "Inspected target navigated or closed",
    "uniqueContextId not found",
    "No frame for given id found",
    "Frame with the given id was not found",
    "interrupted by another navigation",
)
LOST = ("Target crashed", "Page crashed", "has been closed", "Connection closed", "Target closed")
TLS_PREFIXES = ("ERR_CERT_", "ERR_SSL_", "ERR_BAD_SSL_")
SLOW = {"ERR_TIMED_OUT", "ERR_CONNECTION_TIMED_OUT"}


def is_no_page(error: Error) -> bool:
    """Return whether the main request brought no document, but a download or an empty response."""
    return any(text in error.message for text in NO_PAGE)


def is_navigated(error: Error) -> bool:
    """Return whether the document was replaced during the call, because the page navigated."""
    return any(text in error.message for text in NAVIGATED)


def translate(error: Error, url: str | None = None) -> RenderError | SlotLost:
    """Return the failure for the error of a navigation or a CDP call. `url` is the last URL requested."""
    message = error.message.splitlines()[0] if error.message else type(error).__name__
    if isinstance(error, PlaywrightTimeout):
        return SlotLost(FailureKind.TIMEOUT, message)
    found = NET_ERROR.search(error.message)
    if found is None:
        if any(text in error.message for text in LOST):
            return SlotLost(FailureKind.CRASH, message)
        return SlotLost(FailureKind.CRASH, f"the browser refused: {message}")
    code = found.group(1)
    if code.startswith(TLS_PREFIXES):
        return RenderError(FailureKind.TLS, code, url)
    if code in SLOW:
        return RenderError(FailureKind.TIMEOUT, code, url)
    return RenderError(FailureKind.NETWORK, code, url)

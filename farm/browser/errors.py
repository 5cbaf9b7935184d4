"""What Playwright's errors mean: the farm's own error for each, and whether the driver has died.

When a driver has died, most calls raise Playwright's Error. A call that is sent before Playwright has noticed
raises the event loop's error of a closed pipe; a start under way raises a bare Exception. The same two reach the
loop's exception handler, from a future that Playwright never reads and from its callbacks, and would be shown to
the user. They carry no information: the engine notices the death without them and is replaced.
"""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from playwright.async_api import Error
from playwright.async_api import TimeoutError as PlaywrightTimeout

from farm.model.errors import RenderError, SlotLost
from farm.model.outcome import FailureKind

log = logging.getLogger("farm.browser")
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
DRIVER_EXITED = "Connection closed"
PIPE_CLOSED = "the handler is closed"
"""uvloop's message for a write to a closed pipe; asyncio's own loop has none."""


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


class DriverExited(Error):
    """A call to a dead driver failed; an Error like Playwright's others."""


def is_driver_exit(error: BaseException) -> bool:
    """Return whether the error means that the driver has exited, by its type and message."""
    if isinstance(error, RuntimeError):
        return PIPE_CLOSED in str(error)
    return type(error) is Exception and str(error).startswith(DRIVER_EXITED)


def _is_of_playwright(error: BaseException) -> bool:
    """Return whether the error was raised in Playwright, or only set on a future (no traceback)."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return not frames or any("/playwright/" in name for name in frames)


def _is_unread_pipe(context: dict[str, Any], error: BaseException) -> bool:
    """Return whether this is the end of a process's pipe, an error that asyncio stores and nobody may read.

    Before 3.11.4 asyncio reported it as unhandled. The error of a task would have frames of the task.
    """
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return (
        isinstance(error, BrokenPipeError | ConnectionResetError)
        and "future" in context
        and all("/asyncio/" in name for name in frames)
    )


@contextmanager
def playwright_errors() -> Iterator[None]:
    """Translate the errors of a dead driver into DriverExited; others pass unchanged."""
    try:
        yield
    except Exception as error:
        # Playwright raises no class of its own for it, but a plain Exception: caught by anything narrower, a dead
        # driver would end the run as a fault of the farm's.
        if not is_driver_exit(error):
            raise
        raise DriverExited(str(error)) from error


@contextmanager
def ending() -> Iterator[None]:
    """Ignore errors and timeouts of a closing call: its target is gone already, or is killed afterwards."""
    try:
        with playwright_errors():
            yield
    except (Error, TimeoutError) as error:
        log.debug("not closed cleanly: %s", str(error).partition("\n")[0] or "no answer in time")


def ignore_driver_exit(loop: asyncio.AbstractEventLoop) -> None:
    """Install an exception handler that ignores a dead driver's errors; others go to the previous handler.

    It is installed once per loop, so that several runs on one loop, as in a notebook, do not chain handlers.
    """
    before = loop.get_exception_handler()
    if getattr(before, "__module__", "") == __name__:
        return

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_driver_exit(error) and _is_of_playwright(error):
            log.debug("a driver died: %s", error)
        elif error is not None and _is_unread_pipe(context, error):
            log.debug("a process died that was being written to: %s", error)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)

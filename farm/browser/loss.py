"""A driver that died, as Playwright tells of it: the one place that knows its words.

Most calls raise Playwright's Error then. A start that is under way raises a bare Exception, and the same bare
Exception is left in a future that Playwright itself never reads, so that asyncio complains of it to the user when
the future is forgotten. The engine notices the death by itself and is replaced: there is nothing in it to be told.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.async_api import Error

log = logging.getLogger("farm.browser")
WORDS = "Connection closed"


class DriverLost(Error):
    """The bare Exception of a dead driver, as an Error like the others."""


def is_driver_loss(error: BaseException) -> bool:
    """Whether this is what Playwright raises, or leaves behind, when its driver is gone, by type and words."""
    return type(error) is Exception and str(error).startswith(WORDS)


@contextmanager
def playwright_errors() -> Iterator[None]:
    """Make an Error of a dead driver's bare Exception; all else passes as it is."""
    try:
        yield
    except Exception as error:
        if not is_driver_loss(error):
            raise
        raise DriverLost(str(error)) from error


@contextmanager
def ending() -> Iterator[None]:
    """For calls that end something, under a deadline: it is gone already, or is killed after this."""
    try:
        with playwright_errors():
            yield
    except (Error, TimeoutError) as error:
        log.debug("not closed politely: %s", str(error).partition("\n")[0] or "no answer in time")


def hush_driver_loss(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the future that nobody reads from the user; whatever else the loop complains of goes where it went."""
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_driver_loss(error):
            log.debug("a driver died: %s", error)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)

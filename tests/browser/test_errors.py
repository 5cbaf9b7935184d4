"""A dead driver: Playwright's bare Exception, told from others, and kept from the user."""

import asyncio
import gc
import logging
import os
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Error

from farm.browser.chromium import find_browser
from farm.browser.engine import Engine, EngineParams
from farm.browser.errors import DriverExited, ending, ignore_driver_exit, playwright_errors

GONE = "Connection closed while reading from the driver"
PIPE = "unable to perform operation on <WriteUnixTransport closed=True reading=False 0x7f>; the handler is closed"


async def test_a_killed_driver_is_no_complaint_of_asyncio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real one: Playwright leaves a failed future behind that it never reads."""
    # Those of other tests, whose loops complained to nobody in particular, must not be found in this one.
    gc.collect()
    caplog.clear()
    loop = asyncio.get_running_loop()
    ignore_driver_exit(loop)
    caplog.set_level(logging.DEBUG, "farm.browser")
    engine = Engine(
        1, EngineParams(find_browser(), sandbox=os.geteuid() != 0), tmp_path, lambda _: None, lambda _: None
    )
    await engine.start()
    psutil.Process(engine.pids[0]).kill()
    async with asyncio.timeout(30):
        while not engine.lost.done():
            await engine.check(5.0)
    await engine.close()
    del engine
    gc.collect()
    loop.set_exception_handler(None)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert any(GONE in record.getMessage() for record in caplog.records)


async def test_any_other_complaint_goes_where_it_went(caplog: pytest.LogCaptureFixture) -> None:
    """The handler that was there before, or asyncio's own."""
    loop, heard = asyncio.get_running_loop(), list[str]()
    ignore_driver_exit(loop)
    loop.call_exception_handler({"message": "first", "exception": ValueError(GONE)})
    assert "first" in caplog.text
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    ignore_driver_exit(loop)
    loop.call_exception_handler({"message": "second"})
    loop.call_exception_handler({"message": "third", "exception": Exception(GONE)})
    loop.set_exception_handler(None)
    assert heard == ["second"]


async def test_the_unread_end_of_a_pipe_is_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    """Python 3.11.2 complains of a pipe's end that nobody waits for; a task's own error is still heard of."""
    loop = asyncio.get_running_loop()
    ignore_driver_exit(loop)
    unread = loop.create_future()
    unread.set_exception(BrokenPipeError(32, "Broken pipe"))
    del unread

    async def write() -> None:
        raise BrokenPipeError(32, "a task's own")

    task = asyncio.create_task(write())
    await asyncio.wait([task])
    del task
    gc.collect()
    loop.set_exception_handler(None)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "[Errno 32] a task's own"
    ]


def test_only_what_a_dead_driver_raises_becomes_an_error() -> None:
    """By type and words: a bug of ours that happens while something is closed must be heard of."""
    with pytest.raises(DriverExited, match=GONE), playwright_errors():
        raise Exception(GONE)  # noqa: TRY002 - as Playwright does
    with pytest.raises(DriverExited, match="the handler is closed"), playwright_errors():
        raise RuntimeError(PIPE)
    for other in (ValueError(GONE), Exception("something else"), RuntimeError("something else")):
        with pytest.raises(type(other)) as raised, ending():
            raise other
        assert raised.value is other


def test_what_is_gone_already_need_not_be_closed() -> None:
    """Playwright's errors, a dead driver, and an answer that did not come in time."""
    for error in (Error("Target closed"), Exception(GONE), RuntimeError(PIPE), TimeoutError()):
        with ending():
            raise error

"""Parser processes: started when needed, survived, replaced, ended."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import uvloop

from farm.extract.parser_pool import (
    JOBS,
    ParserFailed,
    ParserParams,
    ParserPool,
    TextMaker,
    _Parser,
    check_packages,
)
from farm.model.errors import UsageError
from farm.model.page import RenderedPage
from farm.resources.installation import install_command
from farm.resources.memory import MemoryMeter, ProcessInventory

MIB = 2**20
WANTED = {"url": "http://a.example/", "markdown": True, "main_text": False}


class Owned:
    """What the reaper is told."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self.all: list[int] = []

    def own(self, pid: int) -> None:
        """Take a process."""
        self.pids.add(pid)
        self.all.append(pid)


@pytest.fixture
def owned() -> Owned:
    """Return a list of nothing."""
    return Owned()


@pytest.fixture
async def pool(owned: Owned) -> AsyncIterator[ParserPool]:
    """Open a pool of two processes."""
    pool = ParserPool(ParserParams(2, 512 * MIB, job_s=20.0, wait_s=40.0), owned.own, owned.pids.discard)
    yield pool
    await pool.close()
    assert owned.pids == pool.pids == set()
    assert not [pid for pid in owned.all if psutil.pid_exists(pid)]


async def markdown(pool: ParserPool, html: str) -> str:
    """Return the Markdown that a process makes."""
    made: dict[str, Any] = await pool.run("texts", WANTED, html)
    return str(made["markdown"])


async def test_a_process_is_started_by_the_first_page_and_serves_the_next(
    pool: ParserPool, owned: Owned
) -> None:
    """None before; its memory is that of the farm; a lone surrogate is no obstacle."""
    assert not owned.all
    assert await markdown(pool, "<h1>One \ud800</h1>") == "# One \ufffd"
    assert await markdown(pool, "<h1>Two</h1>") == "# Two"
    assert len(owned.all) == 1
    meter = MemoryMeter(512 * MIB)
    meter.sample(ProcessInventory())
    assert meter._known[owned.all[0]].used_bytes > MIB


async def test_pages_at_once_have_at_most_so_many_processes(pool: ParserPool, owned: Owned) -> None:
    """The others wait, and each has its own answer."""
    made = await asyncio.gather(*(markdown(pool, f"<h1>{number}</h1>") for number in range(12)))
    assert made == [f"# {number}" for number in range(12)]
    assert len(owned.all) == 2


async def test_the_death_of_a_process_is_survived(pool: ParserPool, owned: Owned) -> None:
    """The page is tried once more, by another one."""
    await markdown(pool, "a")
    os.kill(owned.all[0], signal.SIGKILL)
    assert await markdown(pool, "<b>b</b>") == "**b**"
    assert owned.pids == {owned.all[1]}


def test_a_death_that_was_seen_while_idle_is_survived_on_the_loop_of_the_farm(owned: Owned) -> None:
    """Whose pipes cannot be written to when they are closed."""

    async def scenario() -> str:
        pool = ParserPool(ParserParams(1, 512 * MIB), owned.own, owned.pids.discard)
        await markdown(pool, "a")
        process = pool._idle[0].process
        process.kill()
        await process.wait()
        async with asyncio.timeout(10):
            while process.stdin is not None and not process.stdin.is_closing():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        try:
            return await markdown(pool, "<b>b</b>")
        finally:
            await pool.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == "**b**"
    assert owned.pids == set()


async def test_processes_that_died_while_idle_are_no_tries_of_the_next_page(
    pool: ParserPool, owned: Owned
) -> None:
    """The kernel may end all of them at once where the machine has no memory left."""
    await asyncio.gather(*(markdown(pool, f"<h1>{number}</h1>") for number in range(4)))
    assert len(owned.all) == 2
    for parser in pool._idle:
        parser.process.kill()
        await parser.process.wait()
    assert await markdown(pool, "<b>b</b>") == "**b**"
    assert owned.pids == {owned.all[2]}


async def test_a_parser_that_cannot_be_started_fails_its_page_alone(
    pool: ParserPool, owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a system says that has no processes or descriptors left must not end the run."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ParserFailed, match=r"^no parser can be started \(No such file") as failed:
        await markdown(pool, "a")
    # Nor does it say anything of the page's renderer.
    assert failed.value.innocent
    monkeypatch.undo()
    assert await markdown(pool, "b") == "b"
    assert len(owned.all) == 1


async def test_an_answer_that_is_no_json_fails_its_page_alone(
    pool: ParserPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a parser that was harmed by its page."""
    start = pool._start

    async def harmed() -> _Parser:
        program = "import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(bytes([0, 0, 0, 2]) + b'{]')"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return _Parser(process)

    monkeypatch.setattr(pool, "_start", harmed)
    with pytest.raises(ParserFailed, match="no JSON"):
        await markdown(pool, "a")
    monkeypatch.setattr(pool, "_start", start)
    assert await markdown(pool, "b") == "b"


async def test_a_page_that_kills_twice_is_given_up(owned: Owned) -> None:
    """Here the interpreter has no memory to start with; the next page has the same."""
    pool = ParserPool(ParserParams(1, MIB), owned.own, owned.pids.discard)
    page = RenderedPage("http://a.example/", 200, {}, "text/html", html="<p>a")
    with pytest.raises(ParserFailed, match=r"died 2 times \(one may hold 1 MiB\)"):
        await markdown(pool, "a")
    made = await TextMaker(pool, markdown=True, main_text=True).of(page)
    assert (made.markdown, made.main_text) == (None, None)
    assert [(error.kind, error.message) for error in made.errors] == [
        ("extract", "markdown and main_text: its parser died 2 times (one may hold 1 MiB)")
    ]
    assert len(owned.all) == 4
    assert owned.pids == set()


async def test_a_page_that_hangs_meets_its_deadline(owned: Owned) -> None:
    """Its process is killed, also where it does not even read; the next page has a new one."""
    pool = ParserPool(ParserParams(1, 512 * MIB, job_s=20.0), owned.own, owned.pids.discard)
    await markdown(pool, "a")
    os.kill(owned.all[0], signal.SIGSTOP)
    pool.params = ParserParams(1, 512 * MIB, job_s=0.2)
    with pytest.raises(ParserFailed, match=r"parsing took more than 0.2 s"):
        await markdown(pool, "<p>" + "a" * 8_000_000)
    assert not psutil.pid_exists(owned.all[0])
    pool.params = ParserParams(1, 512 * MIB, job_s=20.0)
    assert await markdown(pool, "b") == "b"
    await pool.close()


async def test_a_cancelled_page_leaves_no_process_that_would_answer_it(
    pool: ParserPool, owned: Owned
) -> None:
    """Its answer would be mistaken for the next page's."""
    await markdown(pool, "a")
    os.kill(owned.all[0], signal.SIGSTOP)
    task = asyncio.create_task(markdown(pool, "b"))
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await markdown(pool, "c") == "c"
    assert owned.pids == {owned.all[1]}


async def test_a_process_is_replaced_after_many_pages(pool: ParserPool, owned: Owned) -> None:
    """What a library keeps has an end."""
    await markdown(pool, "a")
    pool._idle[0].jobs = JOBS - 1
    await markdown(pool, "b")
    assert owned.pids == set()


async def test_too_much_html_is_not_sent(pool: ParserPool, owned: Owned) -> None:
    """Bounded before it is written anywhere."""
    with pytest.raises(ParserFailed, match=r"at most 67,108,864"):
        await markdown(pool, "é" * (33 * MIB))
    assert not owned.all


async def test_a_page_without_html_costs_nothing(pool: ParserPool, owned: Owned) -> None:
    """A download has neither text."""
    page = RenderedPage("http://a.example/f.zip", 200, {}, "application/zip")
    assert (await TextMaker(pool, markdown=True, main_text=True).of(page)).markdown is None
    assert not owned.all


async def test_of_html_that_was_cut_the_texts_are_cut_too(pool: ParserPool) -> None:
    """The record says so."""
    page = RenderedPage("http://a.example/", 200, {}, "text/html", html="<p>a", truncated=("html",))
    assert (await TextMaker(pool, markdown=True, main_text=False).of(page)).truncated == ("markdown",)


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched; only what the option needs is looked for."""
    monkeypatch.setattr("farm.extract.parser_pool.find_spec", lambda name: name != "trafilatura" or None)
    check_packages(markdown=True, main_text=False)
    command = re.escape(install_command("text"))
    with pytest.raises(UsageError, match=rf"^--main-text needs .* trafilatura; .*{command}"):
        check_packages(markdown=False, main_text=True)

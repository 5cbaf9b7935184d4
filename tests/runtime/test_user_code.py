"""The user's code in a visit: what it says is carried out, and what it does wrong fails its visit alone."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farm.api.loading import load_attribute
from farm.model.errors import SlotLost, UsageError
from farm.model.handling import (
    DeadPage,
    FollowedLink,
    PageFailed,
    PageHandled,
    PageRetried,
    PageSkipped,
    VisitedPage,
)
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, SkipReason
from farm.model.page import RenderedPage, Renderer
from farm.model.tiers import Evidence, TierNote, TierNotes
from farm.runtime.user_code import MOST_DETAIL, UserCode, told
from tests.runtime.visit_fakes import LINK, Bench, lease, page, worked

OnPage = Callable[[VisitedPage], Coroutine[Any, Any, PageHandled]]


@dataclass
class FakeHandling:
    """The user's code: does what the test says, and follows no link by itself."""

    on_page: Callable[[VisitedPage], Coroutine[Any, Any, PageHandled]]
    handles_pages: bool = True
    follows_scope: bool = False
    runs_before: bool = False
    runs_on_dead: bool = True
    digest: str = ""
    told: list[DeadPage] = field(default_factory=list)

    async def dead(self, page: DeadPage) -> PageHandled:
        """Keep it, and fail."""
        self.told.append(page)
        raise RuntimeError("no such luck")

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[None]:
        """End nothing."""
        return nullcontext()

    async def before(self, visited: VisitedPage) -> PageHandled:
        """Say nothing."""
        return PageHandled()

    def handle(self, visited: VisitedPage) -> Coroutine[Any, Any, PageHandled]:
        """Do what the test says."""
        return self.on_page(visited)


LINKS = (FollowedLink("http://b.example/", "next"),)


def says(handled: PageHandled) -> OnPage:
    """Return code that says this of each page."""

    async def on_page(visited: VisitedPage) -> PageHandled:
        return handled

    return on_page


def bench(on_page: OnPage, *, attempt: int = 1, deadline_s: float = 5.0, **values: Any) -> Bench:
    """Return a worker with one lease and this code."""
    code = UserCode(FakeHandling(on_page, **values), deadline_s, 2**30)
    return Bench(lease(attempt=attempt), user_code=code)


async def test_items_and_links_are_committed_with_the_page() -> None:
    """No link is followed by itself, unless that is wanted too."""
    handled = PageHandled([("item", {"a": 1})], LINKS)
    done = await worked(bench(says(handled)))
    assert [list(one.items or ()) for batch in done.sink.batches for one in batch.records] == [[{"a": 1}]]
    ((_, ack),) = done.frontier.settled
    assert isinstance(ack, Ack)
    assert [(one.url, one.label) for one in ack.links] == [("http://b.example/", "next")]
    ((_, both),) = (await worked(bench(says(handled), follows_scope=True))).frontier.settled
    assert isinstance(both, Ack)
    assert [one.url for one in both.links] == ["http://b.example/", LINK.url]


@pytest.mark.parametrize(
    ("verdict", "attempt", "settled"),
    [
        (PageFailed("no"), 1, Bury(FailureKind.HANDLER, "no")),
        (PageRetried("later", 7.0), 1, Retry(FailureKind.HANDLER, 7.0, "later")),
        (PageRetried("later", 7.0), 4, Bury(FailureKind.HANDLER, "later")),
    ],
)
async def test_a_page_that_is_not_wanted_has_no_record(
    verdict: PageFailed | PageRetried, attempt: int, settled: Bury | Retry
) -> None:
    """A page is tried again as often as one that fails."""
    done = await worked(bench(says(PageHandled([("item", {})], LINKS, verdict)), attempt=attempt))
    assert done.frontier.settled == [("1", settled)]
    assert done.sink.batches == []


async def test_a_page_that_is_given_up_is_told() -> None:
    """What fails then is logged, and fails nothing else."""
    handling = FakeHandling(says(PageHandled(verdict=PageFailed("no"))))
    done = await worked(Bench(lease(attempt=2), user_code=UserCode(handling, 5.0, 2**30)))
    assert done.frontier.settled == [("1", Bury(FailureKind.HANDLER, "no"))]
    assert handling.told == [DeadPage("http://a.example/1", "handler", "no", 2)]


async def test_a_page_that_is_skipped_leads_on() -> None:
    """It is done without a record, and says why."""
    done = await worked(bench(says(PageHandled([("item", {})], LINKS, PageSkipped("sold out")))))
    ((_, ack),) = done.frontier.settled
    assert isinstance(ack, Ack)
    # It counts towards the limit: it was rendered.
    assert ([one.url for one in ack.links], ack.rendered) == (["http://b.example/"], True)
    assert done.records == []
    assert [(one.reason, one.detail) for one in done.sink.batches[0].skips] == [
        (SkipReason.HANDLER, "sold out")
    ]


async def test_code_that_hangs_meets_its_deadline_and_says_where() -> None:
    """The page that it had is released, and its context is replaced."""

    async def hang(visited: VisitedPage) -> PageHandled:
        await visited.live()
        await asyncio.Event().wait()
        raise AssertionError

    done = await worked(bench(hang, deadline_s=0.01))
    ((_, settled),) = done.frontier.settled
    assert isinstance(settled, Retry)
    assert settled.reason is FailureKind.HANDLER
    assert settled.detail.startswith("the handler took more than 0.01 s at ")
    assert settled.detail.endswith("hang")
    assert done.steps.made.count("end_live") == 1
    assert done.slot.retired == 1


async def test_a_page_that_is_gone_is_no_fault_of_its_url() -> None:
    """The lease is released."""

    async def ask(visited: VisitedPage) -> PageHandled:
        await visited.live()
        raise AssertionError

    asking = bench(ask)
    asking.steps.failures["live"] = SlotLost(FailureKind.CRASH, "gone", innocent=True)
    done = await worked(asking)
    assert done.frontier.settled == [("1", Release("gone"))]


@pytest.mark.parametrize("innocent", [True, False])
async def test_a_page_that_is_lost_in_use_is_what_the_code_failed_by(*, innocent: bool) -> None:
    """It does not wait for an answer of the page; where an engine died, the URL is not blamed at once."""

    async def use(visited: VisitedPage) -> PageHandled:
        await visited.live()
        await asyncio.Event().wait()
        raise AssertionError

    using = bench(use)
    using.slot.lost = SlotLost(FailureKind.CRASH, "the page crashed", innocent=innocent)
    ((_, settled),) = (await worked(using)).frontier.settled
    if innocent:
        assert settled == Release("the page crashed")
    else:
        assert isinstance(settled, Retry)
        assert (settled.reason, settled.detail) == (FailureKind.CRASH, "the page crashed")


async def test_the_page_is_asked_for_once() -> None:
    """A hook and the handler have the same one."""
    seen: list[Any] = []

    async def ask(visited: VisitedPage) -> PageHandled:
        seen.extend([await visited.live(), await visited.live()])
        return PageHandled()

    done = await worked(bench(ask))
    assert seen == [done.slot, done.slot]
    assert (done.steps.made.count("live"), done.steps.made.count("end_live")) == (1, 1)
    assert len(done.records) == 1


class Unshown(Exception):
    """Cannot say what is wrong."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (SystemExit(3), r"RuntimeError: sys\.exit\(3\) was called at tests/.*:\d+ fail"),
        (Unshown(), r"Unshown: <exception str\(\) failed> at tests/.*:\d+ fail"),
    ],
)
async def test_whatever_code_raises_fails_its_visit_alone(error: BaseException, detail: str) -> None:
    """The worker goes on."""

    async def fail(visited: VisitedPage) -> PageHandled:
        raise error

    ((_, settled),) = (await worked(bench(fail))).frontier.settled
    assert isinstance(settled, Retry)
    assert re.fullmatch(detail, settled.detail)


async def test_code_that_is_cancelled_by_itself_has_failed() -> None:
    """And does not end the worker."""

    async def give_up(visited: VisitedPage) -> PageHandled:
        raise asyncio.CancelledError

    ((_, settled),) = (await worked(bench(give_up))).frontier.settled
    assert settled == Retry(FailureKind.HANDLER, settled.delay_s, "the handler was cancelled")  # type: ignore[union-attr]


async def test_a_drain_ends_the_code() -> None:
    """It is cancelled with its worker, which gives the lease back."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(visited: VisitedPage) -> PageHandled:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    draining = bench(wait, deadline_s=60.0)
    running = asyncio.create_task(draining.worker.run())
    async with asyncio.timeout(20):
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await ended.wait()
    assert draining.frontier.settled == [("1", Release("the farm was stopped"))]


def test_a_failure_is_told_in_one_bounded_line() -> None:
    """The innermost frame first; a recursion without end has as many frames as fit."""

    def deeper(number: int) -> int:
        return deeper(number + 1)

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    text = told(caught.value)
    assert len(text) <= MOST_DETAIL
    assert text.startswith("RecursionError: maximum recursion depth exceeded")
    assert text.count(" deeper") > 3
    assert told(ValueError("x" * 5_000)).startswith("ValueError: xxx")
    assert len(told(ValueError("x" * 5_000))) <= 500


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero at broken.py:1 <module>"),
        ("def", "SyntaxError: invalid syntax (broken.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_without_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, text: str
) -> None:
    """Whose frames are a part of the interpreter."""
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError) as caught:
        load_attribute("broken:farm")
    assert str(caught.value) == f"--app broken:farm: {text}; correct it."


def without_browser(evidence: Evidence = Evidence.TAKEN) -> RenderedPage:
    """Return a page by `--render auto`: a cheaper renderer's that was not compared, or the browser's that was."""
    renderer = Renderer.FETCH if evidence is Evidence.TAKEN else Renderer.BROWSER
    return page(rendered_by=renderer, tiers=TierNotes("a.example/#", (TierNote(Renderer.FETCH, evidence),)))


async def judged(on_page: OnPage, shown: RenderedPage, *, attempt: int = 1) -> Ack | Retry | Bury | Release:
    """Return how the visit of a page is settled."""
    worker = bench(on_page, attempt=attempt)
    worker.slot.pages = [shown]
    ((_, settled),) = (await worked(worker)).frontier.settled
    return settled


@pytest.mark.parametrize(
    ("verdict", "attempt"), [(PageFailed("no price"), 1), (PageRetried("no price", 7.0), 4)]
)
async def test_a_page_that_is_given_up_without_the_browser_is_the_browsers_first(
    verdict: PageFailed | PageRetried, attempt: int
) -> None:
    """What it lacks may come by a script. No attempt is consumed; put off, its next visit is the browser's."""
    asks = says(PageHandled(verdict=verdict))
    again = await judged(asks, without_browser(), attempt=attempt)
    why = "no price (visited again by the browser)"
    assert again == Retry(FailureKind.HANDLER, 0.0, why, throttled=True, blocks_site=False)
    final = Bury(FailureKind.HANDLER, "no price")
    assert await judged(asks, without_browser(Evidence.AGREED), attempt=attempt) == final
    assert await judged(asks, page(), attempt=attempt) == final


async def test_code_that_fails_on_a_page_without_the_browser_gets_the_browsers() -> None:
    """Before the failure counts as an attempt."""

    async def fail(visited: VisitedPage) -> PageHandled:
        raise IndexError("no element")

    again = await judged(fail, without_browser(), attempt=4)
    assert isinstance(again, Retry)
    assert (again.delay_s, again.throttled, again.reason) == (0.0, True, FailureKind.HANDLER)
    assert isinstance(await judged(fail, without_browser(Evidence.AGREED), attempt=4), Bury)


async def test_a_page_without_the_browser_that_is_to_be_visited_later_waits_as_asked() -> None:
    """Its retry is the user's, and the browser's from the second attempt on in any case."""
    asks = says(PageHandled(verdict=PageRetried("later", 7.0)))
    assert await judged(asks, without_browser()) == Retry(FailureKind.HANDLER, 7.0, "later")

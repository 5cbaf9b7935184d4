"""Records as they come, and pages without a crawl."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from farm import DeadPage, Farm, Page, PageNotRendered, Record, Summary, UsageError
from farm.api import farm as api_farm
from farm.api import rendering
from farm.api.farm import STREAM_MOST
from farm.app.preflight import RunPlan, preflight
from farm.runtime.record_stream import RecordStream
from farm.settings.commands import RunSettings
from farm.settings.load import load_keywords
from fixtures import catalogue
from fixtures.shop import Shop
from tests.e2e.farm_process import read_lines
from tests.processes import alive

PATIENCE_S = 60.0


async def until(holds: Callable[[], bool], what: str) -> None:
    """Let the loop run until it holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come within {PATIENCE_S:g} s"
        await asyncio.sleep(0.05)


def children() -> list[psutil.Process]:
    """Return the processes that were started from here and still run."""
    return alive(psutil.Process().children(recursive=True))


async def test_every_record_is_read_once(shop: Shop, options: dict[str, Any]) -> None:
    """Those that the sink has, with what their handlers emit there."""
    farm = Farm(scope="page", **options)
    ends: list[str] = []

    @farm.default
    async def emit(page: Page) -> None:
        page.emit({"title": page.title})

    @farm.on_finished
    async def end(summary: object) -> None:
        ends.append(type(summary).__name__)

    seeds = [shop.at(one.path) for one in catalogue.CATEGORIES]
    records = [record async for record in farm.stream(seeds)]
    assert sorted(one["url"] for one in records) == sorted(seeds)
    stored = {one["id"]: one for one in read_lines(options["output"] / "pages.jsonl")}
    assert {one["id"]: (one["title"], one["status"]) for one in records} == {
        id_: (one["title"], one["status"]) for id_, one in stored.items()
    }
    assert len(read_lines(options["output"] / "items.jsonl")) == len(seeds)
    assert ends == ["Summary"]


async def test_the_readers_pace_is_the_crawls(shop: Shop, options: dict[str, Any]) -> None:
    """A reader who stops for a while finds as many records as may wait, and a page a context; then it goes on."""
    read: list[Record] = []
    before = len(shop.requests.pages())
    async with aclosing(Farm(limit=40, **options).stream(shop.url)) as records:
        read.append(await anext(records))

        def stored() -> int:
            return len(read_lines(options["output"] / "pages.jsonl"))

        def is_at_rest() -> bool:
            return stored() > STREAM_MOST and len(shop.requests.pages()) - before == stored()

        await until(is_at_rest, "the end of the pages under way")
        assert stored() <= 1 + STREAM_MOST + options["contexts"]
        read += [record async for record in records]
    assert len({one["id"] for one in read}) == len(read) == 40


async def test_a_break_drains(shop: Shop, options: dict[str, Any]) -> None:
    """Nothing is leased then, no process is left, and the crawl can go on."""
    before, ends = {one.pid for one in children()}, list[str]()
    farm = Farm(**options)

    @farm.on_finished
    async def end(summary: Summary) -> None:
        ends.append(summary.exit_reason)

    async with aclosing(farm.stream(shop.url)) as records:
        async for record in records:
            assert record["status"] == 200
            break
    assert ends == ["stopped"]
    assert {one.pid for one in children()} <= before
    summary = await Farm(**{**options, "limit": 1}).run()
    assert (summary.ledger.leased, summary.ledger.balanced) == (0, True)
    assert summary.ledger.done >= 1


async def test_a_break_without_closing_drains_too(shop: Shop, options: dict[str, Any]) -> None:
    """In the background, as Python ends a generator that nobody has any more."""
    before = {one.pid for one in children()}
    async for _ in Farm(**options).stream(shop.url):
        break
    gc.collect()
    await until(lambda: {one.pid for one in children()} <= before, "the end of all processes")


async def test_a_reader_that_is_cancelled_gives_the_pages_back(shop: Shop, options: dict[str, Any]) -> None:
    """As a run that is cancelled does."""
    before = {one.pid for one in children()}
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in Farm(**options).stream(shop.url):
            begun.set()

    reading = asyncio.create_task(read())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    await until(lambda: {one.pid for one in children()} <= before, "the end of all processes")


async def test_what_ends_a_run_is_raised_to_its_reader(options: dict[str, Any]) -> None:
    """After the records that came before."""
    with pytest.raises(UsageError, match="There is no URL to start from"):
        await anext(Farm(**options).stream())


async def test_a_page_is_rendered_without_a_crawl(
    shop: Shop, options: dict[str, Any], tmp_path: Path
) -> None:
    """No handler runs, and nothing is left in any folder."""
    farm = Farm(**options)

    @farm.default
    async def fail(page: Page) -> None:
        raise AssertionError(page.url)

    record = await farm.render(shop.at("/about#top"))
    assert (record["url"], record["status"], record["title"] != "") == (shop.at("/about"), 200, True)
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
    with pytest.raises(PageNotRendered, match="private_network") as refused:
        await Farm(**{**options, "allow_network": ["127.0.0.2"]}).render(shop.url)
    assert refused.value.page.reason == "private_network"
    with pytest.raises(UsageError, match="screenshot makes files"):
        await Farm(screenshot=True, **options).render(shop.url)


async def test_a_plan_is_made_beside_the_callers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the machine and into files; its folder goes with it."""
    threads: list[int] = []

    def noted(*given: Any) -> RunPlan:
        threads.append(threading.get_ident())
        return preflight(*given)

    monkeypatch.setattr(rendering, "preflight", noted)
    settings = load_keywords(RunSettings, {})
    async with rendering.render_plan(settings, ["http://a.example/"], RecordStream(1)) as plan:
        assert plan.output.parent.is_dir()
    assert threads != [threading.get_ident()]
    assert len(threads) == 1
    assert not plan.output.parent.exists()


@pytest.mark.parametrize("ordered", [False, True])
async def test_many_pages_are_rendered(
    shop: Shop, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, ordered: bool
) -> None:
    """Each once, with the reason where none came, in the order that was requested, whatever waits in a file."""
    monkeypatch.setattr(api_farm, "EARLY_MOST", 0)
    farm = Farm(**{**options, "retries": 0})
    urls = [shop.at(one.path) for one in catalogue.CATEGORIES]
    urls[1:1] = ["http://127.0.0.1:9/", urls[0]]
    pages = [page async for page in farm.render_many(urls, ordered=ordered)]
    found = [one.url if isinstance(one, DeadPage) else one["url"] for one in pages]
    wanted = [*dict.fromkeys(urls)]
    assert (found if ordered else sorted(found)) == (wanted if ordered else sorted(wanted))
    assert [one.reason for one in pages if isinstance(one, DeadPage)] == ["network"]


@pytest.mark.parametrize("ordered", [False, True])
async def test_every_url_has_an_end_also_after_a_stop(
    shop: Shop, options: dict[str, Any], *, ordered: bool
) -> None:
    """What nobody came to is told as such; what was rendered behind it is not lost."""
    farm = Farm(**{**options, "contexts": 1})
    urls = [shop.at(one.path) for one in catalogue.CATEGORIES]
    pages: list[Record | DeadPage] = []
    async for page in farm.render_many(urls, ordered=ordered):
        pages.append(page)
        farm.stop()
    found = [one.url if isinstance(one, DeadPage) else one["url"] for one in pages]
    assert (found if ordered else sorted(found)) == (urls if ordered else sorted(urls))
    assert {one.reason for one in pages if isinstance(one, DeadPage)} == {"stopped"}


async def test_what_is_for_a_crawl_does_not_hinder_a_single_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options without which others have no effect are left out together with those; a login is carried out."""
    farm = Farm(
        redis="redis://127.0.0.1:1",
        keep_for="1h",
        sitemap="auto",
        sitemap_since="2026-01-31",
        metrics_port=1,
        metrics_host="127.0.0.2",
    )

    @farm.login("http://a.example/login", logged_in="a", secret="s3cret")
    async def log_in(page: object) -> None:
        raise AssertionError(page)

    arguments = (farm._settings, ["http://a.example/"], RecordStream(1), farm.handlers.login)
    async with rendering.render_plan(*arguments) as plan:
        assert (plan.embedded, plan.settings.metrics_port) == (True, None)
        assert plan.secrets.login is farm.handlers.login


async def test_of_no_url_there_is_no_page() -> None:
    """Without a run."""
    assert [page async for page in Farm(browser="/nowhere/at/all").render_many([])] == []

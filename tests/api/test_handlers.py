"""Handlers in a crawl: what they emit and follow, and what becomes of pages on which they fail."""

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from farm import DeadPage, Farm, Page, Summary
from fixtures import catalogue
from fixtures.shop import Shop
from tests.e2e.farm_process import farm as command
from tests.e2e.farm_process import read_lines


@dataclass
class Product:
    """What the shop sells."""

    name: str
    cents: int
    related: list[str]


def items_of(folder: Path) -> list[dict[str, Any]]:
    """Return the items that were committed."""
    return read_lines(folder / "items.jsonl")


def letters(folder: Path) -> dict[str, tuple[str, str]]:
    """Return reason and detail of each dead letter by the path of its URL."""
    listed = command("dead", "list", "--json", "--output", str(folder), folder=folder).output
    told = [json.loads(line) for line in listed.splitlines()]
    return {re.sub(r"^http://[^/]+", "", one["task"]["url"]): (one["reason"], one["detail"]) for one in told}


async def test_every_product_by_handlers(shop: Shop, options: dict[str, Any]) -> None:
    """Links are followed by handlers alone; what is emitted has its types, and each product stands once."""
    farm = Farm(**{**options, "contexts": 4})

    @farm.page("/c/*")
    async def category(page: Page) -> None:
        page.follow("a[href^='/p/']", label="product", meta={"from": page.title})
        page.follow("a[href*='page=']", priority=2)

    @farm.page(label="product")
    async def product(page: Page) -> None:
        page.emit(
            Product(
                name=page.css(".product h1")[0].text,
                cents=round(float(page.metadata["json_ld"][0]["offers"]["price"]) * 100),
                related=[one.text for one in page.xpath("//section//span[@class='card-name']")],
            )
        )
        assert page.label == "product"

    summary = await farm.run([shop.at(one.path) for one in catalogue.CATEGORIES])
    assert (summary.exit_reason, summary.dead) == ("finished", {})
    items = items_of(options["output"])
    assert {one["_url"]: (one["_kind"], one["name"], one["cents"], one["related"]) for one in items} == {
        urljoin(shop.url, one.path): (
            "product",
            one.name,
            one.price_cents,
            [other.name for other in catalogue.related(one)],
        )
        for one in catalogue.products()
    }
    assert len(items) == len(list(catalogue.products()))
    records = read_lines(options["output"] / "pages.jsonl")
    # No home page, no article: they are linked on every page, and nobody follows them.
    assert {re.sub(r"^http://[^/]+/(\w+).*", r"\1", one["url"]) for one in records} == {"c", "p"}
    first = next(one for one in records if one["url"] == items[0]["_url"])
    assert "from" in first["meta"]


def emit_more(page: Page) -> None:
    """Do nothing wrong."""
    page.emit({"n": 2})


WAYS: dict[str, Callable[[Page], object]] = {
    "/contact": lambda page: page.emit({"when": object()}),
    "/c/lamps": lambda page: page.follow("/anywhere", label="nobody"),
    "/c/textiles": lambda page: page.fail("not for us"),
    "/c/chairs": lambda page: page.retry("not yet", delay_s=0),
    "/c/ceramics": lambda page: page.skip("sold out"),
    "/p/no-such-product": lambda page: page.fail("an error page has no handler"),
}
"""What is done wrong, by paths."""


@pytest.mark.slow
async def test_what_a_handler_does_wrong_is_a_dead_letter(shop: Shop, options: dict[str, Any]) -> None:
    """With the place of it; the other pages are kept, and nothing of the failed ones is."""
    farm = Farm(**{**options, "retries": 1, "page_timeout": "4s"})
    visits: dict[str, int] = {}
    dead: list[DeadPage] = []
    ends: list[str] = []

    @farm.on_dead
    async def mourn(page: DeadPage) -> None:
        dead.append(page)

    @farm.on_finished
    async def end(summary: Summary) -> None:
        ends.append(summary.exit_reason)

    async def swallow(path: str) -> None:
        while visits[path] == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                visits[path] += 1

    @farm.default
    async def failing(page: Page) -> None:
        path = re.sub(r"^http://[^/]+", "", page.url)
        visits[path] = visits.get(path, 0) + 1
        page.emit({"path": path})
        if path == "/about":
            raise RuntimeError("no such luck")
        if path in {"/delivery", "/"}:
            await (asyncio.Event().wait() if path == "/delivery" else swallow(path))
        else:
            WAYS.get(path, emit_more)(page)

    good = next(iter(catalogue.products())).path
    seeds = [shop.at(path) for path in ("/about", "/delivery", "/", good, *WAYS)]
    summary = await farm.run(seeds)
    assert summary.dead == {"handler": 6}
    assert summary.skipped == {"handler": 1}
    assert (len(dead), ends) == (6, ["finished"])
    assert {one.attempt for one in dead if one.url == shop.at("/about")} == {2}
    found = await asyncio.to_thread(letters, options["output"])
    here = f"{Path(__file__).name}:"
    assert {reason for reason, _ in found.values()} == {"handler"}
    assert found["/about"][1].startswith("RuntimeError: no such luck at ")
    assert here in found["/about"][1]
    assert re.fullmatch(rf"the handler took more than 4 s at .*{here}\d+ failing", found["/delivery"][1])
    assert found["/contact"][1].startswith("TypeError: an item cannot be written as JSON")
    assert "no handler has the label 'nobody'" in found["/c/lamps"][1]
    assert found["/c/textiles"] == ("handler", "not for us")
    assert found["/c/chairs"] == ("handler", "not yet")
    assert {path: visits[path] for path in ("/about", "/c/chairs", "/c/textiles")} == {
        "/about": 2,
        "/c/chairs": 2,
        "/c/textiles": 1,
    }
    skipped = read_lines(options["output"] / "skipped.jsonl")
    assert [(one["reason"], one["detail"]) for one in skipped] == [("handler", "sold out")]
    kept = {re.sub(r"^http://[^/]+", "", one["url"]) for one in read_lines(options["output"] / "pages.jsonl")}
    assert kept == {"/", "/p/no-such-product", good}
    assert [one["path" if "path" in one else "n"] for one in items_of(options["output"])].count(good) == 1
    assert {one["_url"] for one in items_of(options["output"])} == {shop.at("/"), shop.at(good)}


async def test_ten_thousand_links_are_followed(shop: Shop, options: dict[str, Any]) -> None:
    """In the same transaction as their page; the scope does not apply, and one more is too many."""
    farm = Farm(**{**options, "limit": 1, "retries": 0})

    @farm.default
    async def many(page: Page) -> None:
        for number in range(10_000):
            page.follow(f"http://10.0.0.1/{number}", meta={"n": number})
        with pytest.raises(ValueError, match="more than 10,000 links"):
            page.follow("/about")

    summary = await farm.run(shop.url)
    assert summary.exit_reason == "limit"
    assert (summary.ledger.accepted, summary.ledger.queued, summary.ledger.done) == (10_001, 10_000, 1)


async def test_followed_links_obey_robots_depth_and_the_guard(shop: Shop, options: dict[str, Any]) -> None:
    """Each refusal has its reason; where the scope is to be followed too, it is."""
    farm = Farm(follow="scope", exclude=["/."], depth=1, **options)

    @farm.default
    async def out(page: Page) -> None:
        page.follow("http://10.0.0.1/")
        page.follow("/about" if page.depth == 0 else "/delivery")

    await farm.run(shop.url)
    skipped = read_lines(options["output"] / "skipped.jsonl")
    reasons = {(one["url"].removeprefix(shop.url), one["reason"]) for one in skipped}
    assert ("http://10.0.0.1/", "private_network") in reasons
    assert ("delivery", "depth") in reasons
    assert "out_of_scope" in {reason for _, reason in reasons}
    kept = {one["url"].removeprefix(shop.url) for one in read_lines(options["output"] / "pages.jsonl")}
    assert kept == {"", "about"}


async def test_a_depth_holds_for_what_is_followed_out_of_scope(shop: Shop, options: dict[str, Any]) -> None:
    """Without handlers it would have no effect in this scope, and is refused there."""
    farm = Farm(scope="page", depth=1, **options)

    @farm.default
    async def on(page: Page) -> None:
        page.follow("/about" if page.depth == 0 else "/delivery")

    await farm.run(shop.url)
    kept = {one["url"].removeprefix(shop.url) for one in read_lines(options["output"] / "pages.jsonl")}
    assert kept == {"", "about"}


async def test_hooks_see_every_page(shop: Shop, options: dict[str, Any]) -> None:
    """Before its navigation, where it can be left out without a visit, and when it has settled."""
    farm = Farm(scope="page", **options)
    before: list[tuple[str, int]] = []
    after: list[tuple[str, int]] = []

    @farm.before_navigation
    async def leave_out(page: Page) -> None:
        before.append((page.url.removeprefix(shop.url), page.status))
        if page.url.endswith("/about"):
            page.skip("known already")

    @farm.after_settle
    async def count(page: Page) -> None:
        after.append((page.url.removeprefix(shop.url), page.status))
        page.emit({"status": page.status}, kind="visit")

    visits = len(shop.requests.pages())
    summary = await farm.run([shop.url, shop.at("/about"), shop.at("/p/none")])
    assert sorted(before) == [("", 0), ("about", 0), ("p/none", 0)]
    assert sorted(after) == [("", 200), ("p/none", 404)]
    assert (summary.skipped["handler"], len(shop.requests.pages()) - visits) == (1, 2)
    assert sorted(one["status"] for one in items_of(options["output"])) == [200, 404]


async def test_code_that_blocks_the_loop_is_named(shop: Shop, options: dict[str, Any]) -> None:
    """In the log, with its line."""
    farm = Farm(scope="page", **options)

    @farm.default
    async def blocking(page: Page) -> None:
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            pass

    await farm.run(shop.url)
    text = (options["output"] / "farm.log").read_text()
    line = next(one for one in text.splitlines() if "the event loop has been blocked" in one)
    assert Path(__file__).name in line or "test_handlers" in line


async def test_the_live_page_is_open_as_long_as_its_handler(shop: Shop, options: dict[str, Any]) -> None:
    """Playwright's own actions work in it, and what the handler has open is closed to it afterwards."""
    farm = Farm(scope="page", **{**options, "retries": 0})
    kept: list[Any] = []

    @farm.default
    async def look(page: Page) -> None:
        live = await page.live()
        kept.append(live)
        if page.url.endswith("/about"):
            await live.evaluate("() => { throw new Error('on the page') }")
        if page.url.endswith("/delivery"):
            session = await live.context.new_cdp_session(live)
            await session.send("Page.crash")
        await live.locator("a[href^='/p/']").first.click(timeout=10_000)
        await live.wait_for_selector(".product h1", timeout=10_000)
        page.emit({"seen": await live.locator(".product h1").inner_text(), "address": live.url})

    summary = await farm.run([shop.url, shop.at("/about"), shop.at("/delivery")])
    assert summary.dead == {"handler": 1, "crash": 1}
    (item,) = items_of(options["output"])
    assert item["seen"] in {one.name for one in catalogue.products()}
    assert item["address"].startswith(shop.at("/p/"))
    assert item["_url"] == shop.url


async def test_a_followed_link_is_rendered_as_its_handler_asks(shop: Shop, options: dict[str, Any]) -> None:
    """By a browser in a run whose pages need none; a page that plain HTTP is unfit for does not get it."""
    farm = Farm(render="fetch", **options)

    @farm.default
    async def look(page: Page) -> None:
        if page.url == shop.url:
            page.follow("/about", render="browser")
            page.follow("/delivery")

    summary = await farm.run(shop.url)
    assert summary.exit_reason == "finished"
    records = read_lines(options["output"] / "pages.jsonl")
    assert {one["url"].removeprefix(shop.url): one["rendered_by"] for one in records} == {
        "": "fetch",
        "about": "browser",
        "delivery": "fetch",
    }
    assert "About" in next(one["text"] for one in records if one["rendered_by"] == "browser")


async def test_items_of_handlers_and_of_a_declaration_are_together(
    shop: Shop, options: dict[str, Any], tmp_path: Path
) -> None:
    """In every sink with all their fields, also those that no declaration knows."""
    await asyncio.to_thread(
        (tmp_path / "shop.toml").write_text, '[item.product.fields]\nname = ".product h1"\n'
    )
    sinks = ["jsonl:", "csv:", f"sqlite:///{tmp_path / 'shop.db'}"]
    farm = Farm(scope="page", extract=tmp_path / "shop.toml", sink=sinks, html=False, **options)

    @farm.page("/p/*")
    async def product(page: Page) -> None:
        page.emit({"stars": len(page.css(".stars")), "html": len(page.html) > 0}, kind="rating")

    first = next(iter(catalogue.products()))
    await farm.run(shop.at(first.path))
    wanted = [("product", first.name, None, None), ("rating", None, 1, True)]
    found = [tuple(map(one.get, ("_kind", "name", "stars", "html"))) for one in items_of(options["output"])]
    assert found == wanted
    rows = await asyncio.to_thread((options["output"] / "items.csv").read_text)
    assert f'"{{""name"":""{first.name}""}}"' in rows
    assert '"{""stars"":1,""html"":true}"' in rows
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        stored = database.execute("SELECT _kind, name, stars FROM items ORDER BY _id").fetchall()
    assert stored == [one[:3] for one in wanted]

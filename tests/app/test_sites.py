"""What the site tables come to for each part of a run."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm.app.limits import own_paces, site_terms
from farm.app.preflight import preflight
from farm.app.rendering import credentials, slot_params
from farm.app.session import open_session
from farm.browser.render import RenderParams
from farm.frontier.terms import SiteTerms
from farm.model.errors import UsageError
from farm.model.task import Lease, LeaseRequest
from farm.policy.aimd import PaceParams
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings
from farm.settings.page_options import SiteSettings

SECRET = "s3cret"
SEEDS = ("http://a.example/1", "http://a.example/2", "http://b.example/1", "http://b.example/2")


def tables(**sites: dict[str, Any]) -> Any:
    """Return tables; `__` in a name is a dot, `any__` before it the asterisk."""
    named = {name.replace("any__", "*.").replace("__", "."): table for name, table in sites.items()}
    return SiteSettings.model_validate({"site": named}).site


def rendering(site: dict[str, Any], **more: Any) -> Callable[[str], tuple[str, str]]:
    """Return what says how a URL is waited for, with these tables."""
    params = slot_params(RunSettings(site=site, **more), credentials(RunSettings()), [], 2**30)

    def of(url: str) -> tuple[str, str]:
        own: RenderParams = params.render_for(url) if params.render_for else params.render
        return own.wait, own.selector

    return of


@pytest.mark.parametrize(
    ("url", "waits"),
    [
        ("https://shop.example/product/1", ("css", ".price")),
        ("https://shop.example/product/a/b?x=/list/", ("css", ".price")),
        ("https://shop.example/product/list/1", ("css", ".price")),
        ("https://shop.example/list/1", ("css", "a:hover")),
        ("https://shop.example/?x=/product/1", ("load", "")),
        ("https://a.shop.example/", ("settle", "")),
        ("https://other.example/product/1", ("settle", "")),
    ],
)
def test_a_page_is_waited_for_by_the_first_rule_that_matches(url: str, waits: tuple[str, str]) -> None:
    """Of its path alone; else by its site's, else by that of all."""
    rules = [{"match": "/product/*", "wait": "css:.price"}, {"match": "*/list/*", "wait": "css:a:hover"}]
    site = {"shop.example": {"wait": "load", "page": rules}, "*.shop.example": {"rate": "1/s"}}
    assert rendering(site)(url) == waits


def test_nothing_is_looked_up_where_no_table_says_anything() -> None:
    """A visit costs what it did."""
    params = slot_params(RunSettings(site={"a.example": {"rate": "1/s"}}), credentials(RunSettings()), [], 1)
    assert (params.render_for, params.tab.own_for) == (None, None)


def test_a_site_blocks_what_its_table_says() -> None:
    """One that loads images has the browser load them; the others' are blocked by their addresses then."""
    site = {"a.example": {"block": "none"}, "b.example": {"block": ["media"]}, "c.example": {}}
    tab = slot_params(RunSettings(site=site), credentials(RunSettings()), [], 1).tab
    assert tab.images
    assert "*.png" in tab.blocked_urls
    assert tab.own_for is not None
    own = {
        name: tab.own_for(f"http://{name}/") for name in ("a.example", "b.example", "c.example", "d.example")
    }
    assert own["a.example"] is not None
    assert own["a.example"].blocked_urls == ()
    assert own["b.example"] is not None
    assert own["b.example"].blocked_urls is not None
    assert "*.mp4" in own["b.example"].blocked_urls
    assert "*.png" not in own["b.example"].blocked_urls
    assert (own["c.example"], own["d.example"]) == (None, None)
    without = slot_params(
        RunSettings(site={"a.example": {"block": "images"}}), credentials(RunSettings()), [], 1
    )
    assert not without.tab.images
    assert "*.png" not in without.tab.blocked_urls


def test_only_a_context_of_the_site_or_below_it_has_its_headers() -> None:
    """A page of another site could have them sent for it."""
    found = {
        name: {"headers": [f"X-Token: {name}"]}
        for name in ("shop.example", "*.shop.example", "a.shop.example")
    }
    settings = RunSettings(site=found)
    own_for = slot_params(settings, credentials(settings), [], 1).tab.own_for
    assert own_for is not None

    def tokens(url: str) -> list[str]:
        own = own_for(url)
        return [one.headers["X-Token"] for one in own.headers] if own else []

    assert tokens("https://shop.example/") == ["shop.example"]
    assert tokens("https://a.shop.example/") == ["shop.example", "*.shop.example", "a.shop.example"]
    assert tokens("https://b.shop.example/") == ["shop.example", "*.shop.example"]
    assert tokens("https://evil.example/") == tokens("https://shop.example:81/") == []


@pytest.mark.parametrize("header", ["X-Token s3cret", "Host: s3cret", "Cookie: s3cret"])
def test_a_header_that_cannot_be_is_refused_as_of_its_table(header: str) -> None:
    """By the rules of `--header`, without its value."""
    with pytest.raises(UsageError, match=r'farm.toml, \[site."a.example"\]: headers ') as caught:
        credentials(RunSettings(site={"a.example": {"headers": [header]}}))
    assert SECRET not in str(caught.value)


def test_limits_reach_the_frontier_and_the_learner() -> None:
    """What a table does not say is the crawl's."""
    found = tables(a__example={"rate": "2/s"}, b__example={"concurrency": 20}, c__example={"wait": "load"})
    assert site_terms(found) == {"a.example": SiteTerms(0.5, 0, 0), "b.example": SiteTerms(0.0, 20, 8)}
    own = own_paces(found, PaceParams(most=5, ceiling=9.0))
    a, b = own("a.example"), own("b.example")
    assert a is not None
    assert b is not None
    assert (a.most, a.first, a.ceiling) == (5, 5, 2.0)
    assert (b.most, b.first, b.ceiling) == (20, 8, 9.0)
    assert own("c.example") is own("d.example") is None


async def _joined(folder: Path, **settings: Any) -> tuple[RunSettings, list[str]]:
    """Open the crawl; return the settings in force, and where four slots that ask at once may go."""
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(output=folder / "out", **settings))
        async with open_session(plan, reaper) as session:
            asked = [await session.frontier.lease(LeaseRequest(f"s{n}", f"r{n}")) for n in range(4)]
            return session.plan.settings, sorted(one.task.site for one in asked if isinstance(one, Lease))
    finally:
        await asyncio.to_thread(reaper.close)


async def test_a_sites_own_limits_hold_for_every_lease(tmp_path: Path) -> None:
    """The table's rate wins over that of all, whichever is greater."""
    site = {"a.example": {"rate": "1/m"}}
    assert (await _joined(tmp_path / "1", urls=SEEDS, site=site))[1] == [
        "a.example",
        "b.example",
        "b.example",
    ]
    wide = {"*.example": {"concurrency": 2}}
    assert len((await _joined(tmp_path / "2", urls=SEEDS, site=wide, site_concurrency=1))[1]) == 4


async def test_nodes_agree_on_the_tables(tmp_path: Path) -> None:
    """Who joins without them has them from the crawl, who has others is told which key differs."""
    site: dict[str, Any] = {"a.example": {"rate": "1/m", "wait": "load"}, "b.example": {"block": "none"}}
    first, _ = await _joined(tmp_path, urls=SEEDS, site=site)
    second, _ = await _joined(tmp_path)
    assert second.site == first.site
    site["a.example"]["rate"] = "2/m"
    with pytest.raises(UsageError, match=r'was created with site."a.example".rate = "1/m" \(here "2/m"\):'):
        await _joined(tmp_path, site=site)
    with pytest.raises(UsageError, match=r"site = .* \(here nothing\)"):
        await _joined(tmp_path, site={})


async def test_a_crawl_without_tables_is_as_it_was(tmp_path: Path) -> None:
    """One that was begun before there were any can be joined, and a table contradicts it."""
    settings, _ = await _joined(tmp_path, urls=SEEDS)
    assert settings.site == {}
    with pytest.raises(UsageError, match=r"site = nothing \(here"):
        await _joined(tmp_path, site={"a.example": {"rate": "1/m"}})


async def test_the_headers_of_a_table_are_asked_for_again(tmp_path: Path) -> None:
    """Their values are not kept in Redis, nor shown."""
    site = {"a.example": {"headers": [f"X-Key: {SECRET}"], "wait": "load"}}
    await _joined(tmp_path, urls=SEEDS, site=site)
    with pytest.raises(
        UsageError, match=r'headers in \[site."a.example"\] \(x-key\), whose values are not kept'
    ):
        await _joined(tmp_path)
    again, _ = await _joined(tmp_path, site=site)
    assert [header.reveal() for header in again.site["a.example"].headers] == [f"X-Key: {SECRET}"]
    kept = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert kept
    assert not any(SECRET.encode() in content for content in kept)

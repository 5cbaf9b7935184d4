"""Headers, storage states and time zones: what cannot be meant is one sentence, and no value is repeated in it."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from farm.app.fetching import _fetch_params, document_cap
from farm.app.preflight import preflight
from farm.app.rendering import credentials, needs_browser, renderer_rules, slot_params, why_all_by_browser
from farm.app.run_summary import shown_settings
from farm.browser.collector import caps_of
from farm.detect.page_features import MARKUP_CHARS, TEXT_CHARS
from farm.model.errors import BrowserUnavailable, UsageError
from farm.model.memory import MIB
from farm.model.page import Renderer
from farm.model.page_caps import PageCaps
from farm.resources.installation import install_command
from farm.settings.commands import RunSettings
from farm.settings.units import is_timezone

SECRET = "open-sesame"
COOKIE = {"name": "a", "value": SECRET, "domain": ".shop.example", "path": "/"}
ORIGIN = {"origin": "https://www.shop.example", "localStorage": [{"name": "b", "value": SECRET}]}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (SECRET, "write it as 'Name: value'"),
        (f"Bad name: {SECRET}", "write it as 'Name: value'"),
        (f"X-A: {SECRET}\x00", "write it as 'Name: value'"),
        (f": {SECRET}", "write it as 'Name: value'"),
        (f"Cookie: {SECRET}", "--storage-state"),
        (f"user-agent: {SECRET}", "--user-agent"),
        (f"Host: {SECRET}", "the browser's own"),
    ],
)
def test_what_is_no_header_of_the_users_is_refused(text: str, remedy: str) -> None:
    """Without its value, which may be a password."""
    with pytest.raises(UsageError) as said:
        credentials(RunSettings(header=("X-Good: yes", text)))
    assert remedy in str(said.value)
    assert SECRET not in str(said.value)


def test_headers_are_read_as_they_are_written() -> None:
    """The value may have colons, or be empty."""
    given = credentials(RunSettings(header=("Authorization: Basic a:b", "X-Empty:", "x-trimmed:  v  ")))
    assert given.headers == {"Authorization": "Basic a:b", "X-Empty": "", "x-trimmed": "v"}
    assert "Basic" not in repr(given)


def test_no_secret_is_in_the_settings_that_are_shown(tmp_path: Path) -> None:
    """`summary.json` is sent around."""
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"cookies": [COOKIE], "origins": [ORIGIN]}))
    settings = RunSettings(
        urls=("https://shop.example/",),
        header=(f"Authorization: {SECRET}", "X-Other: 1"),
        storage_state=state,
        output=tmp_path,
    )
    plan = preflight(settings)
    assert SECRET not in json.dumps(shown_settings(plan))
    assert shown_settings(plan)["header"] == ["Authorization: ***", "X-Other: ***"]
    assert SECRET not in repr(plan.secrets)
    assert SECRET not in repr(plan)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "", "Europe/"])
def test_a_time_zone_that_there_is_not_is_refused(zone: str) -> None:
    """Chromium would refuse it at every page."""
    assert not is_timezone(zone)
    with pytest.raises(UsageError, match="Europe/Berlin"):
        credentials(RunSettings(timezone=zone))


def test_time_zones_that_there_are_pass() -> None:
    """By their usual names."""
    for zone in (None, "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"):
        credentials(RunSettings(timezone=zone))


def test_html_that_is_not_kept_is_read_as_far_as_it_is_looked_at() -> None:
    """By who recognises blocks."""
    plan = [
        slot_params(RunSettings(html=html), credentials(RunSettings()), [], 1).render
        for html in (True, False)
    ]
    assert [render.html_of_text for render in plan] == [None, 2 * TEXT_CHARS]
    assert plan[1].html_cap == MARKUP_CHARS < plan[0].html_cap


def test_a_page_is_read_within_the_same_bounds_by_every_renderer() -> None:
    """They are declared once: what bounds the browser's reading bounds that of plain HTTP too."""
    slots = slot_params(RunSettings(), credentials(RunSettings()), [], 1)
    slots = replace(slots, render=replace(slots.render, link_cap=7, image_cap=3, word_cap=5))
    caps = _fetch_params(slots, MIB, None).caps
    assert {one.name: caps[one.name] for one in fields(PageCaps)} == {
        one.name: getattr(slots.render, one.name) for one in fields(PageCaps)
    }
    assert (caps["width"], caps["height"]) == slots.tab.viewport
    within = caps_of(slots.render, is_page=True)
    assert '"linkCap":7' in within
    assert '"htmlOfText":null' in within
    assert within.count('":') == len(fields(PageCaps)) + len(("allCap", "isPage"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"screenshot": True}, "--screenshot needs a browser"),
        ({"click": ("a",)}, "--click needs a browser"),
        ({"scroll": 3}, "--scroll needs a browser"),
        ({"capture": ("json",)}, "--capture needs a browser"),
        ({"wait": "css:.price"}, "--wait css: needs a browser"),
    ],
)
def test_what_only_a_browser_can_do_contradicts_a_page_without_one(
    settings: dict[str, Any], said: str
) -> None:
    """Also where a site table says so, and in one sentence."""
    tables = {"a.example": {"page": [{"match": "/x", "render": "fetch"}]}}
    for given in ({"render": "fetch"}, {"site": tables}):
        with pytest.raises(UsageError) as caught:
            needs_browser(RunSettings(**given, **settings))
        assert str(caught.value).startswith(said)
        assert needs_browser(RunSettings(**settings))


def test_a_browser_is_needed_unless_every_page_is_fetched() -> None:
    """One page of one site is enough."""
    tables = {"a.example": {"page": [{"match": "/x", "render": "browser"}]}}
    assert needs_browser(RunSettings())
    assert needs_browser(RunSettings(render="fetch", site=tables))
    assert needs_browser(RunSettings(site={"a.example": {"render": "fetch"}}))
    assert not needs_browser(RunSettings(render="fetch"))
    assert not needs_browser(RunSettings(render="fetch", site={"a.example": {"render": "fetch"}}))


def test_auto_has_nothing_to_choose_where_each_page_needs_a_browser() -> None:
    """A browser is looked for in any case: it brings the pages that are compared."""
    auto = RunSettings(render="auto")
    assert needs_browser(auto)
    assert renderer_rules(auto).cheap == (Renderer.FETCH, Renderer.LIGHT)
    for asked in ({"screenshot": True}, {"consent": "reject"}, {"click": ("#more",)}):
        settings = RunSettings(render="auto", **asked)
        assert needs_browser(settings)
        assert renderer_rules(settings).cheap == ()
        assert why_all_by_browser(settings) == f"--{next(iter(asked))}"
    assert why_all_by_browser(auto) == ""
    assert why_all_by_browser(RunSettings(screenshot=True)) == ""


def test_what_a_seed_asks_for_is_there(tmp_path: Path) -> None:
    """A browser in a crawl without one, plain HTTP beside the browser; what contradicts the options is refused."""
    seed = {"url": "https://shop.example/", "render": "browser"}
    plan = preflight(RunSettings(render="fetch", output=tmp_path), [seed])
    assert plan.binary is not None
    fetched = preflight(RunSettings(output=tmp_path), [{**seed, "render": "fetch"}])
    assert renderer_rules(fetched.settings, fetched.asked).named == {Renderer.BROWSER, Renderer.FETCH}
    with pytest.raises(UsageError, match="--screenshot needs a browser"):
        preflight(RunSettings(output=tmp_path, screenshot=True), [{**seed, "render": "fetch"}])


def test_a_light_engine_that_is_not_there_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a site table asks for it; `auto` does without."""
    monkeypatch.setattr("farm.light.program.PACKAGE", "no_such_package")
    urls = ("https://shop.example/",)
    tables = {"shop.example": {"render": "light"}}
    for asked in ({"render": "light"}, {"site": tables}):
        with pytest.raises(BrowserUnavailable, match=re.escape(install_command("light"))):
            preflight(RunSettings(urls=urls, output=tmp_path / "out", **asked))
    assert preflight(RunSettings(urls=urls, output=tmp_path / "out", render="auto")).binary is not None
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("budget_mib", "contexts", "mib"), [(6144, 8, 32), (6144, 40, 23), (3072, 200, 2), (512, 200, 2)]
)
def test_documents_that_are_read_at_once_have_a_bound(budget_mib: int, contexts: int, mib: int) -> None:
    """Two hundred slots with 32 MiB each would take more than the machine has."""
    assert document_cap(budget_mib * MIB, contexts) // MIB == mib


def test_items_of_what_scripts_fetch_contradict_pages_without_scripts(tmp_path: Path) -> None:
    """Each of their fields would be missing; `auto` compares them, and leaves such pages to the browser."""
    declaration = tmp_path / "items.toml"
    declaration.write_text('[item.a]\neach = { capture = "/api/*" }\n[item.a.fields]\nx = { path = "y" }')
    given: dict[str, Any] = {"urls": ("https://shop.example/",), "output": tmp_path / "out"}
    given["extract"] = declaration
    with pytest.raises(UsageError, match="--extract reads what scripts have fetched"):
        preflight(RunSettings(render="fetch", **given))
    assert preflight(RunSettings(render="auto", **given)).binary is not None

"""What a site gets of its own: headers, storage states, and the rules by which its pages are waited for."""

import json
from pathlib import Path

import pytest

from farm.browser.render import RenderParams
from farm.browser.site_params import (
    SiteRules,
    header_params,
    own_params,
    read_headers,
    read_state,
    renders,
    site_header_params,
    state_of_site,
)
from farm.model.errors import UsageError
from farm.model.secret import SecretHeader
from farm.scope.rules import registrable_domain

SECRET = "open-sesame"
COOKIE = {"name": "a", "value": SECRET, "domain": ".shop.example", "path": "/"}
ORIGIN = {"origin": "https://www.shop.example", "localStorage": [{"name": "b", "value": SECRET}]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"cookies": {}}',
        '{"cookies": [{"name": "a"}]}',
        '{"origins": [{"origin": 7}]}',
        *(
            json.dumps({"cookies": [{**COOKIE, **wrong}]})
            for wrong in (
                {"expires": "tomorrow"},
                {"expires": 0},
                {"expires": -2},
                {"expires": 1e20},
                {"expires": True},
                {"expires": None},
                {"httpOnly": "yes"},
                {"secure": 1},
                {"sameSite": "lax"},
            )
        ),
        '{"origins": [{"origin": "https://a.example", "localStorage": [{"name": "b"}]}]}',
    ],
)
def test_what_is_no_storage_state_is_refused(tmp_path: Path, content: str) -> None:
    """With how to make one."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="is not a storage state; give a file that Playwright"):
        read_state(path)


def test_a_storage_state_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(UsageError, match=r"state\.json cannot be read \(No such file"):
        read_state(tmp_path / "state.json")


def test_each_site_gets_its_own_part_of_the_state() -> None:
    """Subdomains are of the same site; nobody else gets anything."""
    other = {**COOKIE, "domain": "pay.example"}
    of = state_of_site({"cookies": [COOKIE, other], "origins": [ORIGIN]}, registrable_domain)
    assert of("https://api.shop.example/x") == {"cookies": [COOKIE], "origins": [ORIGIN]}
    assert of("https://pay.example/") == {"cookies": [other], "origins": []}
    assert of("https://evil-shop.example/") is None
    assert of("https://shop.example.evil.example/") is None


def test_a_storage_state_as_playwright_writes_it_is_taken(tmp_path: Path) -> None:
    """With and without an end, whole seconds or not."""
    more = {"httpOnly": True, "secure": False, "sameSite": "Lax"}
    cookies = [{**COOKIE, **more, "expires": end} for end in (-1, 1893456000, 1893456000.25)]
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"cookies": [*cookies, COOKIE], "origins": []}))
    assert len(read_state(path)["cookies"]) == 4


@pytest.mark.parametrize(
    ("name", "seeds", "seen", "unseen"),
    [
        (
            "shop.example",
            ["https://shop.example/"],
            ["https://shop.example/a", "https://api.shop.example/"],
            ["http://shop.example/", "https://shop.example:8443/", "https://notshop.example/"],
        ),
        ("shop.example", [], ["https://shop.example/"], ["http://shop.example/"]),
        (
            "shop.example",
            ["http://www.shop.example/"],
            ["http://www.shop.example/", "https://shop.example/"],
            ["http://shop.example/", "http://api.shop.example/"],
        ),
        (
            "shop.example:81",
            ["http://shop.example:81/"],
            ["http://shop.example:81/"],
            ["http://shop.example/"],
        ),
        (
            "*.shop.example",
            ["http://shop.example/"],
            ["https://a.shop.example/", "http://a.shop.example/"],
            ["https://shop.example/", "http://shop.example/", "https://a.shop.example:81/"],
        ),
        ("127.0.0.1:81", ["http://127.0.0.1:81/"], ["http://127.0.0.1:81/"], ["http://1.127.0.0.1:81/"]),
    ],
)
def test_a_tables_headers_go_to_its_host_alone(
    name: str, seeds: list[str], seen: list[str], unseen: list[str]
) -> None:
    """Unencrypted only to a seed that is."""
    params = site_header_params({name: {"X-Token": SECRET}}, seeds)[name]
    assert [url for url in seen if not params.may_see(url)] == []
    assert [url for url in unseen if params.may_see(url)] == []


@pytest.mark.parametrize(
    ("url", "wait", "selector"),
    [
        ("https://a.example/p/1", "css", ".price"),
        ("https://a.example/p", "load", ""),
        ("https://b.a.example/p/1", "settle", ""),
        ("https://c.b.example/", "domcontentloaded", ""),
        ("https://d.example/", "settle", ""),
    ],
)
def test_the_rules_of_the_most_special_name_say_how_a_page_is_rendered(
    url: str, wait: str, selector: str
) -> None:
    """Also where they say nothing of it: then as the crawl's pages are."""
    rules = {
        "a.example": SiteRules("load", pages=(("/p/*", "css:.price"), ("*", "load"))),
        "b.a.example": SiteRules(block=()),
        "*.a.example": SiteRules("load"),
        "*.b.example": SiteRules("domcontentloaded"),
    }
    of = renders(rules, RenderParams())
    assert of is not None
    assert (of(url).wait, of(url).selector) == (wait, selector)


def test_rules_that_say_nothing_cost_nothing() -> None:
    """No visit looks them up."""
    rules = {"a.example": SiteRules(), "b.example": SiteRules(block=("media",))}
    assert renders(rules, RenderParams()) is None
    assert own_params({"a.example": SiteRules("load")}, {}, images=False) is None


def test_headers_of_a_user_are_read_as_they_are_written() -> None:
    """By the name that was written; the blanks around a value are none of it."""
    given = [SecretHeader("X-A:  b:c "), SecretHeader("x-empty:")]
    assert read_headers("--header", given) == {"X-A": "b:c", "x-empty": ""}
    with pytest.raises(UsageError, match=r"^--header cannot be Host: it is the browser's own"):
        read_headers("--header", [given[0], SecretHeader("Host: a")])


@pytest.mark.parametrize(
    ("seed", "seen", "unseen"),
    [
        (
            "https://shop.example/",
            [
                "https://shop.example/a",
                "https://api.shop.example/",
                "https://WWW.shop.example:443/",
                "wss://shop.example/",
            ],
            [
                "http://shop.example/",
                "ws://shop.example/",
                "https://shop.example:8443/",
                "https://example/",
                "https://evil.example/x.shop.example/",
                "https://shop.example.evil.example/",
                "https://shop.example@evil.example/",
                "https://notshop.example/",
                "data:text/html,shop.example",
                "https://[broken/",
            ],
        ),
        ("https://www.shop.example/", ["https://a.www.shop.example/"], ["https://shop.example/"]),
        (
            "http://shop.example/",
            ["http://shop.example/", "https://shop.example/"],
            ["http://shop.example:8080/", "https://shop.example:8443/"],
        ),
        (
            "http://shop.example:8080/",
            ["https://shop.example:8080/"],
            ["http://shop.example/", "https://shop.example/"],
        ),
        (
            "http://127.0.0.1:8000/",
            ["http://127.0.0.1:8000/a"],
            ["http://9.127.0.0.1:8000/", "http://127.0.0.1:8001/"],
        ),
        ("http://[::1]:8000/", ["http://[::1]:8000/a"], ["http://[::2]:8000/"]),
    ],
)
def test_a_header_goes_to_the_seeds_own_host_and_port(seed: str, seen: list[str], unseen: list[str]) -> None:
    """And its subdomains; never from https to http. CDP's patterns alone cannot tell where a host ends."""
    given = header_params({"X-Token": SECRET}, [seed])
    assert [url for url in seen if not given.may_see(url)] == []
    assert [url for url in unseen if given.may_see(url)] == []

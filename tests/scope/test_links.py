"""A page's links, sorted."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.model.outcome import SkipReason
from farm.model.page import ContentHash, HashRouter, Image, Link, Media
from farm.model.record import Skip
from farm.model.task import UrlTask
from farm.model.url import HashRoutes, fingerprint
from farm.scope.canonical import MAX_CHARS, CanonicalUrl
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import MOST_ROUTES, MOST_SITES, LinkSorter
from farm.scope.rules import ScopeRules
from farm.scope.trap_detector import TrapDetector, TrapParams
from tests.longest_turn import MeasuredLoop

if TYPE_CHECKING:
    from farm.runtime.ports import Scope

KEY = b"k" * 16
HOME = "https://a.example/"
REFERRER = UrlTask(HOME, "a.example", fingerprint(HOME, KEY), depth=2, priority=8, meta={"shelf": 1})


def sorter(*, obey_nofollow: bool = True, hash_routes: HashRoutes = HashRoutes.OFF) -> LinkSorter:
    """Return a sorter for the host of the referrer."""
    rules = ScopeRules("host", [HOME], exclude=["private"])
    return LinkSorter(rules, KEY, obey_nofollow=obey_nofollow, hash_routes=hash_routes)


async def test_the_sorter_fits_the_port() -> None:
    """What the loop needs of the scope is this."""
    scope: Scope = sorter()
    assert await scope.sort([], REFERRER) == ([], [])


async def test_a_link_becomes_a_task_one_step_deeper() -> None:
    """Priority and meta are the seed's own and are not inherited."""
    tasks, skips = await sorter().sort([Link("https://A.example/x#top")], REFERRER)
    url = "https://a.example/x"
    assert tasks == [UrlTask(url, "a.example", fingerprint(url, KEY), depth=3, priority=5, referrer=HOME)]
    assert skips == []


async def test_repetitions_within_a_page_are_dropped_and_the_document_order_is_kept() -> None:
    """Equality is that of canonical URLs."""
    links = [Link(f"https://a.example/{path}") for path in ("b", "a?utm_source=x", "b#2", "c", "a")]
    tasks, _ = await sorter().sort(links, REFERRER)
    assert [task.url for task in tasks] == [f"https://a.example/{path}" for path in ("b", "a", "c")]


async def test_what_is_not_visited_is_reported_once_with_its_reason() -> None:
    """The referrer and the depth that it would have had belong to the report."""
    links = [
        Link("https://b.example/"),
        Link("https://b.example/#x", rel="nofollow"),
        Link("https://a.example/private/1"),
        Link("mailto:jane@a.example"),
        Link("mailto:jane@a.example"),
        Link("https://a.example/" + "x" * 3000),
        Link("https://a.example/ad", rel="ugc,NoFollow, sponsored"),
    ]
    tasks, skips = await sorter().sort(links, REFERRER)
    assert tasks == []
    assert [skip.reason for skip in skips] == [
        SkipReason.OUT_OF_SCOPE,
        SkipReason.EXCLUDED,
        SkipReason.SCHEME,
        SkipReason.TOO_LONG,
        SkipReason.NOFOLLOW,
    ]
    assert skips[0] == Skip("https://b.example/", SkipReason.OUT_OF_SCOPE, HOME, 3)


async def test_one_link_that_may_be_followed_is_enough() -> None:
    """A second link to the address without `nofollow` is the site's own word that it may be visited."""
    links = [Link("https://a.example/x", rel="nofollow"), Link("https://a.example/x")]
    tasks, skips = await sorter().sort(links, REFERRER)
    assert [task.url for task in tasks] == ["https://a.example/x"]
    assert skips == []


async def test_nofollow_can_be_ignored() -> None:
    """For crawls of one's own site."""
    tasks, _ = await sorter(obey_nofollow=False).sort([Link("https://a.example/x", rel="nofollow")], REFERRER)
    assert len(tasks) == 1


async def test_hash_routes_are_pages_when_the_crawl_says_so() -> None:
    """The option reaches every address."""
    links = [Link("https://a.example/#/x"), Link("https://a.example/#/y")]
    tasks, _ = await sorter(hash_routes=HashRoutes.ON).sort(links, REFERRER)
    assert [task.url for task in tasks] == [link.url for link in links]


ROUTES = [
    Link("https://a.example/app#/guide?id=install"),
    Link("https://a.example/app#/guide#usage"),
    Link("https://a.example/app#!news"),
    Link("https://a.example/app#top"),
    Link("https://a.example/app#/"),
    Link("https://a.example/other#/x"),
]
ROUTER = HashRouter("https://a.example/app")


@pytest.mark.parametrize(
    ("mode", "router", "found"),
    [
        (HashRoutes.OFF, ROUTER, ["app", "other"]),
        (HashRoutes.AUTO, None, ["app", "other"]),
        (HashRoutes.AUTO, ROUTER, ["app#/guide?id=install", "app#/guide", "app#!news", "app", "other"]),
        (HashRoutes.AUTO, replace(ROUTER, id_is_anchor=True), ["app#/guide", "app#!news", "app", "other"]),
        (
            HashRoutes.ON,
            None,
            ["app#/guide?id=install", "app#/guide#usage", "app#!news", "app", "other#/x"],
        ),
    ],
)
async def test_routes_are_pages_where_the_page_routes_by_them(
    mode: HashRoutes, router: HashRouter | None, found: list[str]
) -> None:
    """With `auto`, and only those of its own document; the record shows the same addresses."""
    one = sorter(hash_routes=mode)
    tasks, skips = await one.sort(ROUTES, REFERRER, router=router)
    assert [task.url for task in tasks] == [f"https://a.example/{url}" for url in found]
    assert skips == []
    assert [link["url"] for link in await one.canonical_links(ROUTES, router)] == [task.url for task in tasks]


async def test_routes_that_are_no_pages_are_counted() -> None:
    """Each once, and as `auto` would visit them; not where the page does not route by them, nor out of scope."""
    one = sorter()
    await one.sort(ROUTES, REFERRER)
    assert one.unvisited_routes == {}
    for _ in range(2):
        await one.sort(ROUTES, REFERRER, router=ROUTER)
    assert one.unvisited_routes == {"a.example": 3}
    for url in ("https://b.example/", "https://a.example/private/"):
        await one.sort([Link(f"{url}#/x")], REFERRER, router=HashRouter(url))
    assert one.unvisited_routes == {"a.example": 3}
    for mode in (HashRoutes.ON, HashRoutes.AUTO):
        other = sorter(hash_routes=mode)
        await other.sort(ROUTES, REFERRER, router=ROUTER)
        assert other.unvisited_routes == {}


async def test_the_count_of_routes_that_are_no_pages_is_bounded() -> None:
    """By site, and by the number of sites."""
    one = LinkSorter(ScopeRules("any", [HOME]), KEY)
    await one.sort(
        [Link(f"{ROUTER.document}#/{number}") for number in range(2 * MOST_ROUTES)], REFERRER, router=ROUTER
    )
    for number in range(2 * MOST_SITES):
        url = f"https://a.example:{8000 + number}/"
        await one.sort([Link(f"{url}#/x")], REFERRER, router=HashRouter(url))
    assert one.unvisited_routes["a.example"] == MOST_ROUTES + 1
    assert len(one.unvisited_routes) == MOST_SITES


async def test_an_address_that_is_no_link_keeps_its_route() -> None:
    """A seed, or where a redirect led, is somebody's word that it is a page."""
    url = "https://a.example/app#/b?y=1&x=2"
    assert sorter(hash_routes=HashRoutes.AUTO).fingerprints([url]) == [
        fingerprint("https://a.example/app#/b?x=2&y=1", KEY)
    ]


async def test_the_record_shows_each_web_link_once_in_document_order() -> None:
    """Out of scope or not; the first text that there is describes it."""
    links = [
        Link("https://b.example/", "B", "nofollow"),
        Link("https://a.example/x"),
        Link("javascript:void(0)", "menu"),
        Link("https://a.example/x#more", "X", "next"),
        Link("https://b.example", "again"),
    ]
    assert await sorter().canonical_links(links) == [
        {"url": "https://b.example/", "text": "B", "rel": "nofollow"},
        {"url": "https://a.example/x", "text": "X", "rel": ""},
    ]


def test_where_a_redirect_led_is_judged_like_a_link() -> None:
    """The address is made canonical first."""
    assert sorter().judge("https://A.example/x#y", 0) is None
    assert sorter().judge("https://b.example/", 0) is SkipReason.OUT_OF_SCOPE
    assert sorter().judge("chrome-error://chromewebdata/", 0) is SkipReason.SCHEME


def test_fingerprints_of_a_redirects_stations_are_those_of_the_canonical_urls() -> None:
    """What cannot be crawled has none."""
    stations = ["https://A.example/x#y", "about:blank"]
    assert sorter().fingerprints(stations) == [fingerprint("https://a.example/x", KEY)]


async def test_a_long_address_is_sorted_without_being_remembered() -> None:
    """The memory of addresses is for menus."""
    one = sorter()
    url = "https://a.example/" + "x" * 1500
    tasks, _ = await one.sort([Link(url)], REFERRER)
    assert [task.url for task in tasks] == [url]
    assert one._of_links.remembered.cache_info().currsize == 0


HOSTILE = {
    "slashes": [f"{HOME}{'/' * 1900}{n}" for n in range(300)],
    "a path that nearly repeats itself": [f"{HOME}{'a/a/b/' * 320}{n}" for n in range(300)],
    "parameters": [f"{HOME}?{'a&' * 960}{n}" for n in range(300)],
    "calendars": [f"{HOME}calend/{'1890/12/' * 230}{n}" for n in range(300)],
    "foreign folders": [f"https://b.example/{'a/' * 950}{n}" for n in range(300)],
    "letters": [f"{HOME}{chr(252) * 300}{n}" for n in range(300)],
    "trackers": [f"{HOME}?{'utm_a=1&' * 8000}{n}" for n in range(30)],
    "data": ["data:" + "x" * 5_000_000] * 10,
    "many": [f"{HOME}product/{n}" for n in range(10_000)],
}


async def test_images_and_media_are_canonical_as_links_are() -> None:
    """Each once, with what any of them says; what is not an address of the web is left out."""
    images = [
        Image("HTTPS://Cdn.example/a.png?utm_source=x"),
        Image("https://cdn.example/a.png#top", "A lamp", 40, 30),
        Image("https://cdn.example/a.png", "Another", 80, 60),
        Image("https://cdn.example/b.png", "", 1, None),
        Image("ftp://cdn.example/c.png"),
    ]
    assert await sorter().canonical_images(images) == [
        {"url": "https://cdn.example/a.png", "alt": "A lamp", "width": 40, "height": 30},
        {"url": "https://cdn.example/b.png", "alt": "", "width": 1, "height": None},
    ]
    film = "https://cdn.example/film.mp4"
    media = [
        Media(film, "video"),
        Media(f"{film}#t=10", "video"),
        Media(film, "poster"),
        Media("blob:x", "audio"),
    ]
    assert await sorter().canonical_media(media) == [
        {"url": film, "kind": "video"},
        {"url": film, "kind": "poster"},
    ]


@pytest.mark.parametrize("kind", ["host", "prefix"])
@pytest.mark.parametrize("urls", HOSTILE.values(), ids=HOSTILE)
def test_no_page_of_links_holds_the_loop(urls: list[str], kind: str) -> None:
    """It turns in between, whatever the links are."""
    rules = ScopeRules(kind, [HOME])
    traps, families = TrapDetector(TrapParams(2026)), DuplicateTemplates()
    one = LinkSorter(rules, KEY, trapped=traps.is_trap, repeats=families.is_stopped)
    links = [Link(url) for url in urls]

    async def sort() -> MeasuredLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MeasuredLoop)
        loop.forget()
        await one.sort(links, REFERRER)
        await one.canonical_links(links)
        await one.canonical_images([Image(url) for url in urls])
        await asyncio.sleep(0)
        return loop

    with asyncio.Runner(loop_factory=MeasuredLoop) as runner:
        runner.run(sort()).assert_short()


async def test_a_page_of_ordinary_size_is_sorted_at_once() -> None:
    """Each turn costs something."""
    links = [Link(f"{HOME}product/{n}") for n in range(100)]
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    asyncio.get_running_loop().call_soon(count)
    await sorter().sort(links, REFERRER)
    assert turns == 0
    await sorter().sort(links * 100, REFERRER)
    assert turns > 3


PARTS = st.sampled_from(
    [
        "http://",
        "https:",
        "//",
        "a.example",
        "[::1",
        "]",
        ":",
        "99999",
        "@",
        "%",
        "%zz",
        "\\",
        "..",
        "?",
        "#",
        "&",
        "=",
        ";jsessionid=",
        "sid=",
        "1/",
        "utm_a=",
        "xn--",
        "\ud800",
        "\0",
        " ",
        "\n",
        "\u0130",
    ]
)


@given(st.lists(PARTS | st.text(max_size=5), max_size=12).map("".join))
@example("http://h/\xe4.xml")
@example("http://[::1/x")
@example("http://127.0.0.1:99999/x")
@example("http://127.0.0.1:abc/x")
@example("https://" + "a." * 30_000)
@example("https://" + "\u0130." * 10_000)
@example("https://a.example/?" + "&" * 60_000)
@settings(deadline=None)
def test_any_address_is_canonical_or_refused(raw: str) -> None:
    """And what is canonical stays as it is, is short, and is judged by everybody who sees it."""
    one = sorter(hash_routes=HashRoutes.ON)
    found = one.canonical(raw)
    assert len(found.url) <= MAX_CHARS
    if isinstance(found, CanonicalUrl):
        assert one.canonical(found.url) == found
        assert TrapDetector(TrapParams(2026)).is_trap(found.url) in {True, False}
        assert ScopeRules("prefix", [HOME]).judge(found.url, 1) in {None, SkipReason.OUT_OF_SCOPE}
        assert DuplicateTemplates().note(found.url, raw, ContentHash.of(raw), raw) is None

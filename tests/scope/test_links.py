"""A page's links, sorted."""

from typing import TYPE_CHECKING

from farm.model.outcome import SkipReason
from farm.model.page import Link
from farm.model.record import Skip
from farm.model.task import UrlTask
from farm.model.url import fingerprint
from farm.scope.links import LinkSorter
from farm.scope.rules import ScopeRules

if TYPE_CHECKING:
    from farm.runtime.ports import Scope

KEY = b"k" * 16
HOME = "https://a.example/"
REFERRER = UrlTask(HOME, "a.example", fingerprint(HOME, KEY), depth=2, priority=8, meta={"shelf": 1})


def sorter(*, obey_nofollow: bool = True, hash_routes: bool = False) -> LinkSorter:
    """Return a sorter for the host of the referrer."""
    rules = ScopeRules("host", [HOME], exclude=["private"])
    return LinkSorter(rules, KEY, obey_nofollow=obey_nofollow, hash_routes=hash_routes)


def test_the_sorter_fits_the_port() -> None:
    """What the loop needs of the scope is this."""
    scope: Scope = sorter()
    assert scope.sort([], REFERRER) == ([], [])


def test_a_link_becomes_a_task_one_step_deeper() -> None:
    """Priority and meta are the seed's own and are not inherited."""
    tasks, skips = sorter().sort([Link("https://A.example/x#top")], REFERRER)
    url = "https://a.example/x"
    assert tasks == [UrlTask(url, "a.example", fingerprint(url, KEY), depth=3, priority=5, referrer=HOME)]
    assert skips == []


def test_repetitions_within_a_page_are_dropped_and_the_document_order_is_kept() -> None:
    """Equality is that of canonical URLs."""
    links = [Link(f"https://a.example/{path}") for path in ("b", "a?utm_source=x", "b#2", "c", "a")]
    tasks, _ = sorter().sort(links, REFERRER)
    assert [task.url for task in tasks] == [f"https://a.example/{path}" for path in ("b", "a", "c")]


def test_what_is_not_visited_is_reported_once_with_its_reason() -> None:
    """The referrer and the depth that it would have had belong to the report."""
    links = [
        Link("https://b.example/"),
        Link("https://b.example/#x", rel="nofollow"),
        Link("https://a.example/private/1"),
        Link("mailto:jane@a.example"),
        Link("mailto:jane@a.example"),
        Link("https://a.example/" + "x" * 3000),
        Link("https://a.example/ad", rel="UGC NoFollow"),
    ]
    tasks, skips = sorter().sort(links, REFERRER)
    assert tasks == []
    assert [skip.reason for skip in skips] == [
        SkipReason.OUT_OF_SCOPE,
        SkipReason.EXCLUDED,
        SkipReason.SCHEME,
        SkipReason.TOO_LONG,
        SkipReason.NOFOLLOW,
    ]
    assert skips[0] == Skip("https://b.example/", SkipReason.OUT_OF_SCOPE, HOME, 3)


def test_one_link_that_may_be_followed_is_enough() -> None:
    """A second link to the address without `nofollow` is the site's own word that it may be visited."""
    links = [Link("https://a.example/x", rel="nofollow"), Link("https://a.example/x")]
    tasks, skips = sorter().sort(links, REFERRER)
    assert [task.url for task in tasks] == ["https://a.example/x"]
    assert skips == []


def test_nofollow_can_be_ignored() -> None:
    """For crawls of one's own site."""
    tasks, _ = sorter(obey_nofollow=False).sort([Link("https://a.example/x", rel="nofollow")], REFERRER)
    assert len(tasks) == 1


def test_hash_routes_are_pages_when_the_crawl_says_so() -> None:
    """The option reaches every address."""
    links = [Link("https://a.example/#/x"), Link("https://a.example/#/y")]
    tasks, _ = sorter(hash_routes=True).sort(links, REFERRER)
    assert [task.url for task in tasks] == [link.url for link in links]


def test_the_record_shows_each_web_link_once_in_document_order() -> None:
    """Out of scope or not; the first text that there is describes it."""
    links = [
        Link("https://b.example/", "B", "nofollow"),
        Link("https://a.example/x"),
        Link("javascript:void(0)", "menu"),
        Link("https://a.example/x#more", "X", "next"),
        Link("https://b.example", "again"),
    ]
    assert sorter().canonical_links(links) == [
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


def test_a_long_address_is_sorted_without_being_remembered() -> None:
    """The memory of addresses is for menus."""
    one = sorter()
    url = "https://a.example/" + "x" * 1500
    assert [task.url for task in one.sort([Link(url)], REFERRER)[0]] == [url]
    assert one._remembered.cache_info().currsize == 0

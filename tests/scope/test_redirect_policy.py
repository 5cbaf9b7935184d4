"""What it means where a visit ended."""

import pytest

from farm.model.outcome import RedirectOutcome, SkipReason
from farm.model.page import RenderedPage
from farm.model.task import UrlTask
from farm.model.url import fingerprint
from farm.runtime.ports import RedirectJudge
from farm.scope.links import LinkSorter, RedirectPolicy
from farm.scope.rules import ScopeRules

KEY = b"k" * 16
SEED = "http://shop.example/"


def page(final_url: str, *redirects: str) -> RenderedPage:
    """Return a page that ended there."""
    return RenderedPage(final_url, 200, {}, "text/html", redirects=redirects)


def task(url: str, depth: int = 0) -> UrlTask:
    """Return the task of a URL."""
    return UrlTask(url, "shop.example", fingerprint(url, KEY), depth=depth)


def judge(rules: ScopeRules) -> RedirectPolicy:
    """Return the judge of these rules; it fits the port."""
    redirects: RedirectJudge = RedirectPolicy(rules, LinkSorter(rules, KEY))
    assert isinstance(redirects, RedirectPolicy)
    return redirects


def test_a_page_that_stayed_where_it_was_means_nothing() -> None:
    """Nor does one that changed its address by itself on its own site."""
    rules = ScopeRules("prefix", ["http://shop.example/docs/"])
    for final in ("http://shop.example/docs/", "http://shop.example/home#x", "chrome-error://chromewebdata/"):
        assert judge(rules).judge(task("http://shop.example/docs/"), page(final)) == RedirectOutcome()


def test_the_stations_of_a_redirect_count_as_seen() -> None:
    """The last one too; the first is the task's own."""
    rules = ScopeRules("host", [SEED])
    landing = judge(rules).judge(
        task("http://shop.example/a", 1),
        page("http://shop.example/c#top", "http://shop.example/a", "http://shop.example/b"),
    )
    assert landing == RedirectOutcome(
        (fingerprint("http://shop.example/b", KEY), fingerprint("http://shop.example/c", KEY))
    )


def test_a_seed_that_redirects_to_another_host_of_its_site_extends_the_scope() -> None:
    """At once here, and by a text for the other nodes."""
    rules = ScopeRules("host", [SEED])
    final = "https://www.shop.example/"
    landing = judge(rules).judge(task(SEED), page(final, SEED))
    assert landing == RedirectOutcome((fingerprint(final, KEY),), None, "www.shop.example")
    assert rules.covers("https://www.shop.example/x")


@pytest.mark.parametrize(
    ("depth", "final"),
    [(0, "https://login.example/"), (1, "https://www.shop.example/"), (1, "https://b.example/")],
)
def test_a_redirect_out_of_the_scope_is_a_late_skip(depth: int, final: str) -> None:
    """Of a seed to another owner's host, of a later page to any other; the target does not count as seen."""
    rules = ScopeRules("host", [SEED])
    landing = judge(rules).judge(task(SEED, depth), page(final, SEED))
    assert landing == RedirectOutcome((), SkipReason.OUT_OF_SCOPE, None)


def test_a_script_that_leaves_for_another_host_is_a_redirect_too() -> None:
    """Though none that the server spoke of."""
    rules = ScopeRules("host", [SEED])
    landing = judge(rules).judge(task(SEED, 1), page("https://b.example/"))
    assert landing.skip is SkipReason.OUT_OF_SCOPE


def test_in_a_scope_of_pages_a_redirect_is_followed_wherever_it_leads() -> None:
    """The user requested what that address shows."""
    rules = ScopeRules("page", [SEED])
    final = "https://elsewhere.example/"
    assert judge(rules).judge(task(SEED), page(final, SEED)) == RedirectOutcome((fingerprint(final, KEY),))


@pytest.mark.parametrize(
    ("kind", "scope_unit"),
    [
        ("page", None),
        ("prefix", "https://shop.example/docs/"),
        ("host", "shop.example"),
        ("domain", "shop.example"),
        ("any", None),
    ],
)
def test_what_a_seed_adds_can_be_told_to_another_node(kind: str, scope_unit: str | None) -> None:
    """It extends that node's scope by the same."""
    seed = "https://shop.example/docs/intro"
    rules = ScopeRules(kind, [seed])
    assert rules.scope_unit(seed) == scope_unit
    if scope_unit is not None:
        other = ScopeRules(kind, ["https://other.example/docs/"])
        other.extend(scope_unit)
        assert other.covers(seed)

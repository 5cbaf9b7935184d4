"""Which URLs belong to a crawl."""

import pytest

from farm.model.errors import UsageError
from farm.model.outcome import SkipReason
from farm.scope.rules import ScopeKind, ScopeRules, registrable_domain
from farm.settings.commands import RunSettings

SEED = "https://www.shop.co.uk/docs/intro?x=1"


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        ("page", [SEED], ["https://www.shop.co.uk/docs/", "https://www.shop.co.uk/docs/intro"]),
        (
            "prefix",
            [SEED, "https://www.shop.co.uk/docs/", "https://www.shop.co.uk/docs/a/b?c=/d/"],
            [
                "https://www.shop.co.uk/",
                "https://www.shop.co.uk/docs",
                "https://www.shop.co.uk/docs2/a",
                "http://www.shop.co.uk/docs/a",
                "https://www.shop.co.uk:8443/docs/a",
                "https://www.shop.co.uk/x?y=/docs/z",
            ],
        ),
        (
            "host",
            [SEED, "https://www.shop.co.uk/", "http://www.shop.co.uk/x"],
            ["https://shop.co.uk/", "https://www.shop.co.uk:8443/", "https://www.shop.co.uk.evil.example/"],
        ),
        (
            "domain",
            [SEED, "http://shop.co.uk/", "https://a.b.shop.co.uk:8443/x"],
            ["https://other.co.uk/", "https://co.uk/", "https://notshop.co.uk/"],
        ),
        ("any", [SEED, "http://anything.example/"], []),
    ],
)
def test_a_scope_covers_what_its_kind_says(kind: str, inside: list[str], outside: list[str]) -> None:
    """The five kinds by their definitions."""
    rules = ScopeRules(kind, [SEED])
    assert {url: rules.judge(url, 1) for url in inside} == dict.fromkeys(inside)
    assert {url: rules.judge(url, 1) for url in outside} == dict.fromkeys(outside, SkipReason.OUT_OF_SCOPE)


@pytest.mark.parametrize("kind", ScopeKind)
def test_every_kind_has_its_rules(kind: ScopeKind) -> None:
    """The option takes each of them, and a seed is in its own scope."""
    assert RunSettings.model_fields["scope"].annotation is ScopeKind
    rules = ScopeRules(kind, [SEED])
    rules.extend("www.shop.co.uk")
    assert rules.judge(SEED, 0) is None


def test_a_kind_without_rules_is_not_taken_for_another() -> None:
    """A crawl would leave its seeds' host where a new kind fell to the rules of `domain`."""
    rules = ScopeRules(ScopeKind.PAGE, [])
    rules.kind = "new"  # type: ignore[assignment]
    for call in (rules.add_seed, rules.covers, rules.scope_unit, rules.extend):
        with pytest.raises(AssertionError):
            call(SEED)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("shop.example", "shop.example"),
        ("a.b.shop.co.uk", "shop.co.uk"),
        ("a.b.shop.co.uk.", "shop.co.uk"),
        ("me.github.io", "me.github.io"),
        ("github.io", "github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.127.0.0", "10.127.0.0"),
        ("[::1]", "[::1]"),
        ("www.xn--bcher-kva.example", "xn--bcher-kva.example"),
        (".", ""),
    ],
)
def test_a_registrable_domain_is_one_owners(host: str, domain: str) -> None:
    """Addresses, bare names and public suffixes belong to no wider domain."""
    assert registrable_domain(host) == domain


def test_two_users_of_a_shared_suffix_are_two_domains() -> None:
    """A page host's customers are strangers to each other."""
    rules = ScopeRules("domain", ["https://me.github.io/"])
    assert rules.judge("https://you.github.io/", 1) is SkipReason.OUT_OF_SCOPE


def test_another_address_of_the_same_network_is_out_of_scope() -> None:
    """An IP address has no domain: its last parts are no suffix."""
    rules = ScopeRules("domain", ["http://10.0.0.1:8000/"])
    assert rules.judge("http://10.0.0.1:9000/", 1) is None
    assert rules.judge("http://11.0.0.1:8000/", 1) is SkipReason.OUT_OF_SCOPE


def test_exclusion_wins_over_inclusion() -> None:
    """Both are searched anywhere in the canonical URL."""
    rules = ScopeRules("any", [], include=["/product/", r"\?page="], exclude=["sold-out"])
    assert rules.judge("https://a.example/product/1", 1) is None
    assert rules.judge("https://a.example/list?page=2", 1) is None
    assert rules.judge("https://a.example/product/sold-out", 1) is SkipReason.EXCLUDED
    assert rules.judge("https://a.example/about", 1) is SkipReason.EXCLUDED


def test_a_seed_needs_no_inclusion_but_can_be_excluded() -> None:
    """The front page is where the crawl starts even when only products are wanted."""
    rules = ScopeRules("any", [], include=["/product/"], exclude=["sold-out"])
    assert rules.judge("https://a.example/", 0) is None
    assert rules.judge("https://a.example/sold-out", 0) is SkipReason.EXCLUDED


def test_depth_is_counted_in_links_from_a_seed() -> None:
    """And it is the last reason: a foreign page is foreign at any depth."""
    rules = ScopeRules("host", ["https://a.example/"], depth=1)
    assert rules.judge("https://a.example/x", 1) is None
    assert rules.judge("https://a.example/x", 2) is SkipReason.DEPTH
    assert rules.judge("https://b.example/x", 2) is SkipReason.OUT_OF_SCOPE
    assert (
        ScopeRules("host", ["https://a.example/"], depth=0).judge("https://a.example/x", 1)
        is SkipReason.DEPTH
    )


def test_a_pattern_that_does_not_compile_is_a_usage_error() -> None:
    """One sentence that names the option, the pattern and the remedy."""
    with pytest.raises(UsageError, match=r"--exclude 'a\(' is not a regular expression .*; put a backslash"):
        ScopeRules("any", [], exclude=["a("])


@pytest.mark.parametrize(
    ("kind", "seed", "target", "extension"),
    [
        ("host", "http://shop.example/", "https://www.shop.example/home", "www.shop.example"),
        ("host", "http://127.0.0.1:8000/", "http://127.0.0.1:8443/", "127.0.0.1:8443"),
        ("host", "http://shop.example/", "https://shop.example/", None),
        ("host", "http://shop.example/", "https://login.example/", None),
        (
            "prefix",
            "http://shop.example/docs/",
            "https://www.shop.example/docs/en/",
            "https://www.shop.example/docs/",
        ),
        ("prefix", "http://shop.example/docs/", "https://shop.example/docs/", "https://shop.example/docs/"),
        ("domain", "http://shop.example/", "https://www.shop.example/", None),
        ("page", "http://shop.example/", "https://www.shop.example/", None),
        ("any", "http://shop.example/", "https://login.example/", None),
    ],
)
def test_a_seed_that_redirects_within_its_site_extends_the_scope(
    kind: str, seed: str, target: str, extension: str | None
) -> None:
    """To `www.` or to https, but not to another owner's host."""
    rules = ScopeRules(kind, [seed])
    assert rules.extension(seed, target) == extension
    if extension is not None:
        assert not rules.covers(target)
        rules.extend(extension)
        assert rules.covers(target)
        assert rules.extension(seed, target) is None


def test_a_bare_site_extends_a_prefix_below_the_seeds_paths() -> None:
    """On both schemes, since a site says nothing about them."""
    rules = ScopeRules(ScopeKind.PREFIX, ["https://shop.example/docs/"])
    rules.extend("www.shop.example")
    assert rules.covers("http://www.shop.example/docs/a")
    assert rules.covers("https://www.shop.example/docs/a")
    assert not rules.covers("https://www.shop.example/")


def test_extending_a_scope_of_pages_or_of_everything_changes_nothing() -> None:
    """The one is closed, the other open already; a domain takes the site's domain."""
    pages = ScopeRules("page", ["https://a.example/"])
    pages.extend("b.example")
    assert not pages.covers("https://b.example/")
    ScopeRules("any", []).extend("b.example")
    domain = ScopeRules("domain", ["https://a.example/"])
    domain.extend("www.b.example:8443")
    assert domain.covers("https://b.example/")


def test_a_later_seed_widens_the_scope() -> None:
    """More seeds may be given to a crawl that runs."""
    rules = ScopeRules("host", ["https://a.example/"])
    rules.add_seed("https://b.example/x")
    assert rules.judge("https://b.example/y", 1) is None

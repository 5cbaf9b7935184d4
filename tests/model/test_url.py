"""The parts of a URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.url import (
    covering,
    host_of,
    hostname_of,
    origin_of,
    path_of,
    relative_url_of,
    site_in,
    site_of,
)
from farm.scope.canonical import CanonicalUrl, canonicalise

CANONICAL = {
    "https://shop.example/": ("https://shop.example", "shop.example", "/"),
    "https://shop.example/a/b?x=http://y/z#/r": (
        "https://shop.example",
        "shop.example",
        "/a/b?x=http://y/z#/r",
    ),
    "http://shop.example:8080/a//b": ("http://shop.example:8080", "shop.example:8080", "/a//b"),
    "http://[::1]:8080/?q": ("http://[::1]:8080", "[::1]:8080", "/?q"),
    "http://[::1]/#!/a": ("http://[::1]", "[::1]", "/#!/a"),
}
ODD = [
    "",
    "/",
    "://",
    "//",
    "http:",
    "http://",
    "http://[",
    "http://[::1",
    "a/b/c",
    "mailto:a@b",
    "http://a:x/p",
]


@pytest.mark.parametrize(("url", "parts"), CANONICAL.items())
def test_a_canonical_url_is_its_origin_and_the_rest(url: str, parts: tuple[str, str, str]) -> None:
    """The origin ends before the slash of the path."""
    assert (origin_of(url), site_of(url), relative_url_of(url)) == parts


@given(path=st.text(max_size=30), query=st.text(max_size=30), port=st.integers(1, 65_535))
def test_the_parts_put_together_are_the_url(path: str, query: str, port: int) -> None:
    """Of whatever the canonical form can hold."""
    found = canonicalise(f"http://shop.example:{port}/{path}?{query}")
    assert isinstance(found, CanonicalUrl)
    assert origin_of(found.url) + relative_url_of(found.url) == found.url
    assert site_of(found.url) == site_of(origin_of(found.url)) == found.site
    assert host_of(found.site) == hostname_of(found.url) == "shop.example"


@pytest.mark.parametrize(
    ("site", "host"), [("a.b", "a.b"), ("a.b:80", "a.b"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]")]
)
def test_the_host_of_a_site_has_no_port(site: str, host: str) -> None:
    """The colons of an IPv6 address are not mistaken for that of a port."""
    assert host_of(site) == host


@given(text=st.one_of(st.sampled_from(ODD), st.text(alphabet="ahtp:/[]?#@.%\n\ud800é0", max_size=30)))
def test_nothing_raises_on_what_is_no_url(text: str) -> None:
    """A page's script names its document as it likes."""
    parts = site_of(text), origin_of(text), relative_url_of(text), host_of(text), path_of(text)
    assert all(isinstance(part, str) for part in parts)
    assert isinstance(hostname_of(text), str | None)
    assert isinstance(site_in(text), str | None)


def test_any_url_has_a_host_name_and_a_path_or_says_that_it_has_none() -> None:
    """Also one that is not canonical."""
    assert hostname_of("HTTP://user@Shop.Example:80") == "shop.example"
    assert hostname_of("http://[FE80::1]:80/") == "[fe80::1]"
    assert (hostname_of("about:blank"), hostname_of("http://[::1")) == ("", None)
    assert path_of("http://a.example/f/g.pdf?x=/y#/z") == "/f/g.pdf"
    assert (path_of("http://a.example"), path_of("http://[::1")) == ("", "")


def test_any_url_has_the_site_of_its_canonical_form() -> None:
    """Without the default port of its scheme; none where it has no host."""
    assert site_in("HTTP://user@Shop.Example:80/a") == "shop.example"
    assert site_in("https://shop.example:80?a") == "shop.example:80"
    assert site_in("http://[FE80::1]:8080/") == "[fe80::1]:8080"
    assert (site_in("about:blank"), site_in("http://[::1"), site_in("http://a:99999/")) == (None, None, None)


def test_the_most_special_name_covers_a_site() -> None:
    """Its own, else that of the nearest domain above it; a port belongs to the name."""
    named = {"shop.example": 1, "*.example": 2, "*.shop.example": 3}
    sites = ("shop.example", "a.shop.example", "b.a.shop.example", "x.example", "shop.example:81")
    assert [covering(named, site) for site in sites] == [1, 3, 3, 2, None]
    assert covering({}, "shop.example") is None

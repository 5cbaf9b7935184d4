"""Cookies go where a browser sends them, and nowhere else."""

import pytest

from farm.fetch.cookies import MOST_CHARS, MOST_COOKIES, CookieJar
from farm.scope.rules import registrable_domain

SHOP = "https://www.shop.example/list/all?x=1"


class Clock:
    """A wall clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def jar(*lines: str, url: str = SHOP, clock: Clock | None = None) -> CookieJar:
    """Return a jar that has taken these headers of the URL's answer."""
    made = CookieJar(registrable_domain, clock or Clock())
    made.take(url, lines)
    return made


@pytest.mark.parametrize(
    ("line", "url", "sent"),
    [
        ("a=1", SHOP, "a=1"),
        ("a=1", "https://www.shop.example/list", "a=1"),
        ("a=1", "https://www.shop.example/lists", ""),
        ("a=1", "https://www.shop.example/", ""),
        ("a=1; Path=/", "https://www.shop.example/", "a=1"),
        ("a=1; path=list", "https://www.shop.example/list/2", "a=1"),
        ("a=1; Path=/", "https://a.www.shop.example/", ""),
        ("a=1; Path=/; Domain=www.shop.example", "https://a.www.shop.example/", "a=1"),
        ("a=1; Path=/; Domain=.shop.example", "https://shop.example/", "a=1"),
        ("a=1; Path=/; Domain=shop.example", "https://evilshop.example/", ""),
        ("a=1; Path=/; Domain=example", "https://www.shop.example/", ""),
        ("a=1; Path=/; Domain=other.example", "https://other.example/", ""),
        ("a=1; Path=/; Domain=b.www.shop.example", "https://b.www.shop.example/", ""),
        ("a=1; Path=/; Secure", "http://www.shop.example/", ""),
        ("a=1; Path=/", "http://www.shop.example:8080/", "a=1"),
        ("a=1; Path=/; Max-Age=0", SHOP, ""),
        ("a=1; Path=/; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", SHOP, "a=1"),
        ("a=1; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT", SHOP, ""),
        ("a=1; Path=/; Expires=soon", SHOP, "a=1"),
        ("__Host-a=1; Path=/; Secure", SHOP, "__Host-a=1"),
        ("__Host-a=1; Path=/; Secure; Domain=www.shop.example", SHOP, ""),
        ("__Secure-a=1; Path=/", SHOP, ""),
        ('a="x y"; Path=/; HttpOnly; SameSite=Lax', SHOP, 'a="x y"'),
        ("bare", SHOP, "bare"),
        ("a=b=c; Path=/", SHOP, "a=b=c"),
        ("; Path=/", SHOP, ""),
        (f"a={'x' * MOST_CHARS}; Path=/", SHOP, ""),
    ],
)
def test_a_cookie_goes_where_it_belongs(line: str, url: str, sent: str) -> None:
    """By host, path, scheme and time."""
    assert jar(line).header(url) == sent


def test_a_cookie_for_everybody_below_a_public_suffix_is_refused() -> None:
    """One site could track, or confuse, all the others."""
    assert jar("a=1; Domain=co.uk; Path=/", url="https://shop.co.uk/").header("https://other.co.uk/") == ""
    assert jar("a=1; Domain=10.0.0.1; Path=/", url="http://10.0.0.1/").header("http://10.0.0.1/") == "a=1"


def test_a_site_that_is_a_public_suffix_itself_sets_cookies_for_itself_alone() -> None:
    """The sites below it are other people's: a page of one may be where a redirect leads."""
    for host in ("github.io", "co.uk"):
        made = jar(f"a=1; Domain={host}; Path=/", url=f"https://{host}/")
        assert [made.header(f"https://{name}/") for name in (host, f"mallory.{host}")] == ["a=1", ""]


def test_an_insecure_answer_sets_no_secure_cookie() -> None:
    """It may have been changed on its way."""
    assert jar("a=1; Secure", url="http://www.shop.example/").header("https://www.shop.example/") == ""


def test_the_longer_path_comes_first_and_the_later_value_counts() -> None:
    """As servers expect it."""
    made = jar("a=1; Path=/", "b=2; Path=/list", "a=3; Path=/")
    assert made.header(SHOP) == "b=2; a=3"


def test_a_cookie_ends_in_its_time() -> None:
    """By the clock, independent of requests."""
    clock = Clock()
    made = jar("a=1; Path=/; Max-Age=10", clock=clock)
    assert made.header(SHOP) == "a=1"
    clock.now += 11
    assert made.header(SHOP) == ""


def test_their_number_is_bounded() -> None:
    """The oldest goes."""
    made = jar(*(f"c{n}=1; Path=/" for n in range(MOST_COOKIES + 5)))
    assert len(made) == MOST_COOKIES
    assert "c4=" not in made.header(SHOP)
    assert "c5=1" in made.header(SHOP)


def test_a_storage_state_is_where_a_site_begins() -> None:
    """In Playwright's form."""
    made = CookieJar(registrable_domain, Clock())
    common = {"path": "/", "expires": -1, "secure": False, "httpOnly": True, "sameSite": "Lax"}
    made.load(
        [
            {"name": "s", "value": "1", "domain": ".shop.example", **common},
            {"name": "h", "value": "2", "domain": "www.shop.example", **common, "secure": True},
            {"name": "old", "value": "3", "domain": "www.shop.example", **common, "expires": 5.0},
        ]
    )
    assert made.header("https://www.shop.example/") == "s=1; h=2"
    assert made.header("http://shop.example/") == "s=1"

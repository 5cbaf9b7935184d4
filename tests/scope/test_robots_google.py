"""The situations of Google's tests of its parser of robots.txt (google/robotstxt), asked as this crawler.

Each address becomes canonical first, as in a crawl. Where the answer differs, the test says why.
"""

import re

import pytest

from farm.model.url import relative_url_of
from farm.scope.canonical import CanonicalUrl, canonicalise
from farm.scope.robots import TOKEN, normal_path, parse

US = "CrawlFarm"
SITE = "http://foo.bar"
TSU = "\N{KATAKANA LETTER TU}"

ADDRESSED = f"user-agent: {US}\n"
NOBODY_ELSE = f"{ADDRESSED}disallow: /\n"
GROUPS = f"""allow: /foo/bar/

user-agent: {US}
disallow: /
allow: /x/
user-agent: BarBot
disallow: /
allow: /y/


allow: /w/
user-agent: BazBot

user-agent: {US}
allow: /z/
disallow: /
"""
FIRST_WORD = "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n"
GLOBAL = f"user-agent: *\nallow: /\n{NOBODY_ELSE}"
OTHERS = f"{ADDRESSED}allow: /\nuser-agent: BarBot\ndisallow: /\nuser-agent: BazBot\ndisallow: /\n"
GLOBAL_AND_OURS = f"User-agent: *\nDisallow: /x/\nUser-agent: {US}\nDisallow: /y/\n"
INDEX = "User-Agent: *\nAllow: /allowed-slash/index.html\nDisallow: /\n"
LINES = "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /\n"
MARKED = f"User-Agent: {US}\nDisallow: /AnyValue\n".encode()
REPORTED = """User-Agent: foo
Allow: /some/path
User-Agent bar # no
absolutely random line
#so comment, much wow

unicorns: /extinct
noarchive: /some
Disallow: /
Error #and comment
useragent: baz
disallaw: /some
site-map: https://e/s.xml #comment
sitemap: https://e/t.xml
Noarchive: /someCapital
"""
Asked = tuple[str | bytes, str, str, str]
"""A file, a token, and the paths that it allows and those that it forbids, with blanks between them."""
ASKED: dict[str, Asked] = {
    "an empty file": ("", US, "/ /x", ""),
    "an empty file and no agent": ("", "", "/", ""),
    "no agent": (NOBODY_ELSE, "", "/", ""),
    "all is forbidden": (NOBODY_ELSE, US, "", "/ /x/y"),
    "names that are none": (f"foo: {US}\nbar: /\n", US, "/x/y", ""),
    "lines without a colon": (f"user-agent {US}\ndisallow /\n", US, "", "/x/y"),
    "groups, of the first": (GROUPS, US, "/x/b /z/d", "/y/c /foo/bar/"),
    "groups, of the second": (GROUPS, "BarBot", "/y/c /w/a", "/z/d /foo/bar/"),
    "groups, of two agents": (GROUPS, "BazBot", "/z/d", "/foo/bar/"),
    "names in capitals": (f"USER-AGENT: {US}\nALLOW: /x/\nDISALLOW: /\n", US, "/x/y", "/a/b"),
    "names in small letters": (f"{ADDRESSED}allow: /x/\ndisallow: /\n", US, "/x/y", "/a/b"),
    "names in both": (f"uSeR-aGeNt: {US}\nAlLoW: /x/\ndIsAlLoW: /\n", US, "/x/y", "/a/b"),
    **{
        f"{written} for {token}": (f"User-Agent: {written}\nAllow: /x/\nDisallow: /\n", token, "/x/y", "/a/b")
        for written in ("CRAWLFARM BAR", "crawlfarm bar", "CrAwLfArM bAr")
        for token in ("CrawlFarm", "crawlfarm")
    },
    "an agent up to its first blank": (FIRST_WORD, "Foo", "/x/y", ""),
    "an agent that contains a blank": (FIRST_WORD, "Foo Bar", "", "/x/y"),
    "our group before everybody's": (GLOBAL, US, "", "/x/y"),
    "everybody's without ours": (GLOBAL, "BarBot", "/x/y", ""),
    "no group": (OTHERS, "QuxBot", "/x/y", ""),
    "a path in small letters": (f"{ADDRESSED}disallow: /x/\n", US, "", "/x/y"),
    "a path in capitals": (f"{ADDRESSED}disallow: /X/\n", US, "/x/y", ""),
    "longest match, forbidden": (
        f"{ADDRESSED}disallow: /x/page.html\nallow: /x/\n",
        US,
        "",
        "/x/page.html",
    ),
    "longest match, allowed": (
        f"{ADDRESSED}allow: /x/page.html\ndisallow: /x/\n",
        US,
        "/x/page.html",
        "/x/",
    ),
    "two empty rules": (f"{ADDRESSED}disallow: \nallow: \n", US, "/x/page.html", ""),
    "two rules of one slash": (f"{ADDRESSED}disallow: /\nallow: /\n", US, "/x/page.html", ""),
    "a slash more": (f"{ADDRESSED}disallow: /x\nallow: /x/\n", US, "/x/", "/x"),
    "two equal rules": (
        f"{ADDRESSED}disallow: /x/page.html\nallow: /x/page.html\n",
        US,
        "/x/page.html",
        "",
    ),
    "a longer pattern forbids": (
        f"{ADDRESSED}allow: /page\ndisallow: /*.html\n",
        US,
        "/page",
        "/page.html",
    ),
    "a longer path allows": (
        f"{ADDRESSED}allow: /x/page.\ndisallow: /*.html\n",
        US,
        "/x/page.html",
        "/x/y.html",
    ),
    "the more specific group": (GLOBAL_AND_OURS, US, "/x/page", "/y/page"),
    "an address in a query": (
        f"{NOBODY_ELSE}Allow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par\n",
        US,
        "/foo/bar?qux=taz&baz=http://foo.bar?tar&par",
        "",
    ),
    "three bytes": (f"{NOBODY_ELSE}Allow: /foo/bar/{TSU}\n", US, "/foo/bar/%E3%83%84", ""),
    "three bytes, encoded": (f"{NOBODY_ELSE}Allow: /foo/bar/%E3%83%84\n", US, "/foo/bar/%E3%83%84", ""),
    "letters, encoded": (f"{NOBODY_ELSE}Allow: /foo/bar/%62%61%7A\n", US, "/foo/bar/%62%61%7A", ""),
    "a star": (
        f"{ADDRESSED}Disallow: /foo/bar/quz\nAllow: /foo/*/qux\n",
        US,
        "/foo/quz /foo//quz /foo/bax/quz",
        "/foo/bar/quz",
    ),
    "an end": (
        f"{ADDRESSED}Disallow: /foo/bar$\nAllow: /foo/bar/qux\n",
        US,
        "/foo/bar/qux /foo/bar/ /foo/bar/baz",
        "/foo/bar",
    ),
    "comments": (
        f"{ADDRESSED}# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /\n",
        US,
        "/foo/bar",
        "/foo/quz",
    ),
    "an index page": (
        INDEX,
        US,
        "/allowed-slash/ /allowed-slash/index.html",
        "/allowed-slash/index.htm /anyother-url",
    ),
    **{
        f"documentation, {pattern}": (
            f"{NOBODY_ELSE}allow: {pattern}\n",
            US,
            "/fish /fish.html /fish/salmon.html /fishheads /fishheads/yummy.html /fish.html?id=anything",
            "/bar /Fish.asp /Fish.bar /catfish /?id=fish",
        )
        for pattern in ("/fish", "/fish*")
    },
    "documentation, /fish/": (
        f"{NOBODY_ELSE}allow: /fish/\n",
        US,
        "/fish/ /fish/salmon /fish/?salmon /fish/salmon.html /fish/?id=anything",
        "/bar /fish /fish.html /Fish/Salmon.html",
    ),
    "documentation, /*.php": (
        f"{NOBODY_ELSE}allow: /*.php\n",
        US,
        (
            "/filename.php /folder/filename.php /folder/filename.php?parameters"
            " //folder/any.php.file.html /filename.php/ /index?f=filename.php/"
        ),
        "/bar /php/ /index?php /windows.PHP",
    ),
    "documentation, /*.php$": (
        f"{NOBODY_ELSE}allow: /*.php$\n",
        US,
        "/filename.php /folder/filename.php",
        (
            "/bar /filename.php?parameters /filename.php/ /filename.php5 /php/ /filename?php"
            " /aaaphpaaa //windows.PHP"
        ),
    ),
    "documentation, /fish*.php": (
        f"{NOBODY_ELSE}allow: /fish*.php\n",
        US,
        "/fish.php /fishheads/catfish.php?parameters",
        "/bar /Fish.PHP",
    ),
    "precedence, longer": (f"{ADDRESSED}allow: /p\ndisallow: /\n", US, "/page", ""),
    "precedence, equal": (f"{ADDRESSED}allow: /folder\ndisallow: /folder\n", US, "/folder/page", ""),
    "precedence, a star": (f"{ADDRESSED}allow: /page\ndisallow: /*.htm\n", US, "", "/page.htm"),
    "precedence, an end": (f"{ADDRESSED}allow: /$\ndisallow: /\n", US, "/", "/page.html"),
    **{
        f"lines that end in {kind}, {token}": (text, token, allowed, forbidden)
        for kind, text in {
            "LF": LINES,
            "CR LF": LINES.replace("\n", "\r\n"),
            "CR": LINES.replace("\n", "\r"),
            "nothing": LINES.removesuffix("\n"),
            "both": LINES.removesuffix("\n").replace("path\n", "path\r\n").replace("\n\n\n", "\n\r\n\n"),
        }.items()
        for token, allowed, forbidden in (("foo", "/some/path /x", ""), ("bar", "", "/some/path /x"))
    },
    "a byte order mark": (b"\xef\xbb\xbf" + MARKED, US, "/x", "/AnyValue"),
    "two bytes of a mark": (b"\xef\xbb" + MARKED, US, "/x", "/AnyValue"),
    "one byte of a mark": (b"\xef" + MARKED, US, "/x", "/AnyValue"),
    "a broken mark": (b"\xef\x11\xbf" + MARKED, US, "/x /AnyValue", ""),
    "a mark in the middle": (MARKED.replace(b"Dis", b"\xef\xbb\xbfDis"), US, "/x /AnyValue", ""),
    "lines of every kind, foo": (REPORTED, "foo", "/some/path /x", ""),
    "lines of every kind, bar": (REPORTED, "bar", "", "/some /x"),
    "lines of every kind, baz": (REPORTED, "baz", "/x", "/some/path"),
}


EACH = {
    f"{situation}: {path}": (text.encode() if isinstance(text, str) else text, token, path, answer)
    for situation, (text, token, allowed, forbidden) in ASKED.items()
    for paths, answer in ((allowed, True), (forbidden, False))
    for path in paths.split()
}


def canonical(address: str) -> str:
    """Make an address canonical, as every one is that the farm asks for."""
    found = canonicalise(address, SITE)
    assert isinstance(found, CanonicalUrl)
    return found.url


@pytest.mark.parametrize(("content", "token", "path", "allowed"), EACH.values(), ids=EACH)
def test_the_answer_is_the_same(content: bytes, token: str, path: str, allowed: bool) -> None:
    """Who is addressed, the longest match, encodings, wildcards, line ends, marks and index pages."""
    assert parse(content, token).allows(canonical(SITE + path)) is allowed


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        # Google compares an address as it is given. Here it was made canonical, which encodes it.
        (f"/foo/bar/{TSU}", f"/foo/bar/{TSU}"),
        ("/foo/bar/%E3%83%84", f"/foo/bar/{TSU}"),
        # Google compares escapes of letters as they stand; RFC 9309, 2.2.2 has them compared as letters.
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
    ],
)
def test_one_path_in_two_spellings_is_one_path(rule: str, path: str) -> None:
    """Google's tests expect the opposite of these three."""
    assert parse(f"{NOBODY_ELSE}Allow: {rule}\n".encode()).allows(canonical(SITE + path))
    assert not parse(f"{ADDRESSED}Disallow: {rule}\n".encode()).allows(canonical(SITE + path))


def longest(name: str, letter: str) -> str:
    """Return a path that a line of `name` just holds, with up to two characters after it."""
    return "/x/" + letter * (2083 * 8 - len("/x/") - len(f"{name}: ") + 1 - len("/x/"))


def test_a_prohibition_that_is_too_long_is_cut() -> None:
    """At Google's length: it forbids what begins as it does."""
    path = longest("disallow", "a")
    rules = parse(f"{ADDRESSED}disallow: {path}/qux\n".encode())
    assert rules.allows(f"{SITE}/fux")
    assert not rules.allows(f"{SITE}{path}/fux")


def test_a_permission_that_is_too_long_is_not_read() -> None:
    """Google cuts it too, and allows more than it says; nothing that a crawl visits is so long."""
    first, second = longest("allow", "a"), longest("allow", "b")
    rules = parse(f"{NOBODY_ELSE}allow: {first}/qux\nallow: {second}/qux\n".encode())
    assert not rules.allows(f"{SITE}/")
    assert not rules.allows(f"{SITE}{first}/qux")
    assert not rules.allows(f"{SITE}{second}/fux")


@pytest.mark.parametrize("file", ["{rules}Sitemap: {sitemap}\n", "Sitemap: {sitemap}\n{rules}"])
def test_a_sitemap_may_stand_anywhere(file: str) -> None:
    """Before all groups or behind them."""
    text = file.format(
        rules="User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\n", sitemap="http://foo.bar/s"
    )
    assert parse(text.encode()).sitemaps == ("http://foo.bar/s",)


def test_sitemaps_by_both_names() -> None:
    """A comment after one is no part of it."""
    assert parse(REPORTED.encode()).sitemaps == ("https://e/s.xml", "https://e/t.xml")


def test_our_own_token_is_valid() -> None:
    """Google checks any token when it is given; ours is a constant."""
    assert re.fullmatch("[A-Za-z_-]+", TOKEN)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("http://www.example.com", "/"),
        ("http://www.example.com/", "/"),
        ("http://www.example.com/a", "/a"),
        ("http://www.example.com/a/", "/a/"),
        ("http://www.example.com/a/b?c=http://d.e/", "/a/b?c=http://d.e/"),
        ("http://www.example.com/a/b?c=d&e=f#fragment", "/a/b?c=d&e=f"),
        ("http://example.com?a", "/?a"),
        ("http://example.com/a;b#c", "/a;b"),
        ("//a/b/c", "/b/c"),
        ("/a", "/a"),
    ],
)
def test_the_path_of_an_address(address: str, path: str) -> None:
    """Without a scheme nothing is requested: Google's further cases are of addresses that are none."""
    assert relative_url_of(canonical(address)) == path
    assert not parse(f"{ADDRESSED}disallow: {path}$\n".encode()).allows(canonical(address))


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("http://www.example.com", "http://www.example.com"),
        ("/a/b/c", "/a/b/c"),
        ("\N{LATIN SMALL LETTER A WITH ACUTE}", "%C3%A1"),
        ("%aa", "%AA"),
    ],
)
def test_the_form_of_a_pattern(written: str, compared: str) -> None:
    """Escapes in capitals, other bytes than ASCII escaped."""
    assert normal_path(written.encode().decode("latin-1")) == compared


@pytest.mark.parametrize("twice", [b"\xef\xef", b"\xef\xbb\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf"])
def test_only_one_mark_is_taken_off(twice: bytes) -> None:
    """What is left of the line is read as it stands: it names no agent."""
    assert parse(twice + MARKED).allows(f"{SITE}/AnyValue")

"""robots.txt: the RFC's examples, what Google's parser does, and files that nobody should have written."""

import time

import pytest

from farm.scope.directives import Directives, directives_of
from farm.scope.robots import MAX_BYTES, parse

FOR_ALL = "User-agent: *\n"
RFC_EXAMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot

EOF
"""


def allows(text: str | bytes, path: str, robot: str = "CrawlFarm") -> bool:
    """Whether a robots.txt allows a path."""
    content = text.encode() if isinstance(text, str) else text
    return parse(content, robot).allows("https://a.example" + path)


@pytest.mark.parametrize(
    ("token", "path", "allowed"),
    [
        ("foobot", "/x", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("BazBot", "/example/other.gif", True),
        ("quxbot", "/example/page.html", True),
        ("other", "/example/page.html", False),
        ("other", "/a/picture.gif", False),
        ("other", "/a/picture.gif?x", True),
        ("other", "/publications/x", True),
    ],
)
def test_the_example_of_the_rfc(token: str, path: str, allowed: bool) -> None:
    """Section 5.1."""
    assert allows(RFC_EXAMPLE, path, token) is allowed


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        (
            "Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
            "/example/page/disallowed.gif",
            False,
        ),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /foo/bar?baz=https://foo.bar", "/foo/bar?baz=https://foo.bar", False),
        ("Disallow: /foo/bar/\N{KATAKANA LETTER TU}", "/foo/bar/%E3%83%84", False),
        ("Disallow: /foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", False),
        ("Disallow: /foo/bar/%62%61%7A", "/foo/bar/baz", False),
        ("Disallow: /path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),
        ("Disallow: /fish*", "/fishheads/yummy.html", False),
        ("Disallow: /fish", "/Fish.asp", True),
        ("Disallow: /fish/", "/fish", True),
        ("Disallow: /*.php$", "/folder/filename.php", False),
        ("Disallow: /*.php$", "/filename.php?parameters", True),
        ("Disallow: /*.php$", "/filename.php5", True),
        ("Disallow: /fish*.php", "/fishheads/catfish.php?parameters", False),
        ("Disallow: /a*a$", "/a", True),
        ("Disallow: /a$b", "/a$b", False),
        ("Disallow: /$", "/", False),
        ("Disallow: /$", "/page", True),
        ("Allow: /p\nDisallow: /", "/page", True),
        ("Allow: /folder\nDisallow: /folder", "/folder/page", True),
        ("Allow: /page\nDisallow: /*.htm", "/page.htm", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow:", "/x", True),
        ("Disallow: /\nAllow: /x/index.html", "/x/", True),
        ("Disallow: /x #and why", "/x", False),
        ("Disallow /x", "/x", False),
        ("Dissallow: /x", "/x", False),
        ("disALLOW:/x", "/x", False),
    ],
)
def test_how_a_path_is_matched(rules: str, path: str, allowed: bool) -> None:
    """The longest match counts, and of equals the permission."""
    assert allows(FOR_ALL + rules, path) is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: CrawlFarm\nDisallow: /", False),
        ("user agent: CRAWLFARM\nDisallow: /", False),
        ("User-agent: CrawlFarm/1.0\nDisallow: /", False),
        ("User-agent: CrawlFarm of ours\nDisallow: /", False),
        ("User-agent: CrawlFarmExtra\nDisallow: /", True),
        ("User-agent: farm\nDisallow: /", True),
        ("User-agent:\nDisallow: /", True),
        ("User-agent: * all others\nDisallow: /", False),
        ("User-agent: *\nDisallow: /\nUser-agent: CrawlFarm\nDisallow:", True),
        ("User-agent: *\nCrawl-delay: 1\nUser-agent: CrawlFarm\nDisallow: /", False),
        ("User-agent: CrawlFarm\nSitemap: https://a.example/s\nUser-agent: other\nDisallow: /", False),
        ("Disallow: /\nUser-agent: *\nAllow: /", True),
        ("\ufeffUser-agent: *\nDisallow: /", False),
        ("User-agent: *\rDisallow: /\r", False),
        ("<!doctype html><title>Not found</title><p>User-agents: *", True),
        ("", True),
    ],
)
def test_whom_a_group_addresses(text: str, allowed: bool) -> None:
    """Our token as a whole word, whatever its case; everybody only where we are not named."""
    assert allows(text, "/x") is allowed


def test_groups_for_one_token_are_merged() -> None:
    """Wherever they stand in the file."""
    text = "User-agent: CrawlFarm\nDisallow: /a\nUser-agent: b\nDisallow: /c\n"
    text += "User-agent: crawlfarm\nDisallow: /b\n"
    assert [allows(text, path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_sitemaps_and_the_crawl_delay_are_read() -> None:
    """Sitemaps belong to nobody's group; a delay to ours."""
    text = b"Sitemap: https://a.example/1\nUser-agent: *\nCrawl-delay: 9\nUser-agent: crawlfarm\n"
    text += b"Crawl-delay: 1.5\nDisallow: /x\nSitemap: https://a.example/2\n"
    rules = parse(text)
    assert rules.sitemaps == ("https://a.example/1", "https://a.example/2")
    assert rules.crawl_delay_s == 1.5
    assert parse(b"User-agent: *\nCrawl-delay: soon\nDisallow: /").crawl_delay_s is None


def test_what_lies_beyond_the_cap_is_not_read() -> None:
    """Up to it everything is: 500 KiB at least."""
    filler = b"# " + b"x" * 97 + b"\n"
    lines = filler * (500 * 1024 // len(filler))
    assert not allows(FOR_ALL.encode() + lines + b"Disallow: /x\n", "/x")
    assert allows(FOR_ALL.encode() + b"#" * MAX_BYTES + b"\nDisallow: /x\n", "/x")


def test_a_hostile_file_is_read_and_matched_in_no_time() -> None:
    """Stars upon stars, garbage, zeros: no pattern makes matching exponential."""
    stars = (FOR_ALL + "Disallow: /" + "*a" * 1000 + "b\n").encode()
    begun = time.process_time()
    assert allows(stars, "/" + "a" * 1900)
    assert allows(bytes(range(256)) * 2000, "/x")
    assert allows(b"\x00" * MAX_BYTES, "/x")
    many = FOR_ALL.encode() + b"".join(b"Disallow: /%d*x\n" % n for n in range(25_000))
    assert not allows(many, "/12000/x")
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("header", "meta", "found"),
    [
        ("", "", Directives()),
        ("", "NOINDEX, nofollow", Directives(noindex=True, nofollow=True)),
        ("none", "", Directives(noindex=True, nofollow=True)),
        ("noindex", "nofollow", Directives(noindex=True, nofollow=True)),
        ("otherbot: noindex, nofollow", "", Directives()),
        ("otherbot: noindex, crawlfarm: nofollow", "", Directives(nofollow=True)),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, nofollow", "", Directives(nofollow=True)),
        ("otherbot: noindex\nnofollow", "", Directives(nofollow=True)),
    ],
)
def test_what_a_page_says_about_itself(header: str, meta: str, found: Directives) -> None:
    """The header and the meta element say the same words; what is said to others does not count."""
    assert directives_of({"x-robots-tag": header}, meta) == found

"""robots.txt: the RFC's examples, what Google's parser does, and malformed files."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.policy.verdict import LONGEST_CRAWL_DELAY_S, crawl_delay_s
from farm.scope import robots
from farm.scope.robots import LONGEST_LINE, MAX_BYTES, MAX_STARS, PathRules, Pattern, parse
from tests.longest_turn import collector_at_rest

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
    """Sitemaps belong to no group; a delay to ours."""
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


def test_what_stands_on_half_a_line_at_the_cap_is_not_read() -> None:
    """Cut short, a permission would allow more than it says; so would one that is longer than a line may be."""
    start = b"User-agent: *\nDisallow: /\n"
    cut = start + b"#" * (MAX_BYTES - len(start) - len(b"\nAllow: /")) + b"\nAllow: /public\n"
    assert cut[:MAX_BYTES].endswith(b"\nAllow: /")
    assert not allows(cut, "/x")
    assert not allows(start + b"Allow: /" + b"*" * LONGEST_LINE + b"x\n", "/y")
    assert allows(start + b"Allow: /y #" + b"*" * LONGEST_LINE, "/y")


def test_an_audience_hears_a_rule_once() -> None:
    """However often it is named: what comes after 18,000 lines of names is obeyed."""
    text = FOR_ALL * 18_000 + "".join(f"Disallow: /{n}/\n" for n in range(14_000)) + "Disallow: /last\n"
    assert len(text) <= MAX_BYTES
    rules = parse(text.encode())
    assert len(rules.paths.prefixes) == 14_001
    assert not rules.allows("https://a.example/last")
    assert not rules.allows("https://a.example/13999/x")
    delayed = parse((FOR_ALL * 18_000 + "Crawl-delay: 2\n" * 15_000).encode())
    assert delayed.crawl_delay_s == 2


@pytest.mark.parametrize("wildcards", [MAX_STARS, 3 * MAX_STARS])
def test_no_more_wildcards_are_compared_than_the_cap(wildcards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it forbids all that begins as it does, whatever is allowed for less; and says so."""
    compared = 0
    matches = Pattern.matches

    def counted(self: Pattern, path: str) -> bool:
        nonlocal compared
        compared += 1
        return matches(self, path)

    monkeypatch.setattr(Pattern, "matches", counted)
    text = FOR_ALL + "Allow: /shop\n" + "".join(f"Disallow: /shop/*{n:05}\n" for n in range(wildcards))
    rules = parse(text.encode())
    assert rules.widened == max(0, min(wildcards, (MAX_BYTES - 27) // 23) - MAX_STARS)
    last = f"https://a.example/shop/x{min(wildcards, (MAX_BYTES - 27) // 23) - 1:05}"
    assert not rules.allows(last)
    assert rules.allows("https://a.example/shop/x") is (rules.widened == 0)
    assert rules.allows("https://a.example/other")
    assert compared <= 3 * MAX_STARS
    compared = 0
    assert not rules.surely_forbids(last)
    assert compared == 0


PIECES = st.text("ab/*", max_size=6)
RULES = st.lists(st.tuples(st.booleans(), PIECES, st.booleans()), max_size=12)


def naive(rules: dict[str, bool], path: str) -> bool:
    """Judge by the RFC's words: of all that match the longest, of equals the permission."""
    best = (-1, True)
    for text, allow in rules.items():
        body = ".*".join(map(re.escape, text.removesuffix("$").split("*")))
        if re.match(body + (r"\Z" if text.endswith("$") else ""), path):
            best = max(best, (len(text), allow))
    return best[1]


@given(RULES, st.text("ab/", max_size=8))
def test_compiled_rules_judge_as_each_rule_by_itself(
    entries: list[tuple[bool, str, bool]], path: str
) -> None:
    """However prefixes, wildcards and anchors lie over one another."""
    rules: dict[str, bool] = {}
    for allow, text, anchored in entries:
        pattern = "/" + text + ("$" if anchored else "")
        rules[pattern] = allow or rules.get(pattern, False)
    assert PathRules.of(rules).allows("/" + path) is naive(rules, "/" + path)


@given(RULES, st.text("ab/", max_size=8))
def test_beyond_the_cap_nothing_that_is_forbidden_is_allowed(
    entries: list[tuple[bool, str, bool]], path: str
) -> None:
    """Here it is two wildcards."""
    rules = {"/" + text + ("$" if anchored else ""): allow for allow, text, anchored in entries}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robots, "MAX_STARS", 2)
        compiled = PathRules.of(rules)
    assert compiled.stars <= 2
    assert naive(rules, "/" + path) or not compiled.allows("/" + path)


KEYS = st.sampled_from(
    ["User-agent", "Disallow", "Allow", "Crawl-delay", "Sitemap", "x", "", "User-agent: *\n"]
)
LINES = st.tuples(KEYS, st.sampled_from([":", " ", ": ", "\t:"]), st.text(max_size=20)).map("".join)
FILES = st.one_of(
    st.binary(max_size=200), st.lists(LINES, max_size=20).map(lambda lines: "\n".join(lines).encode())
)


@given(FILES, st.text("/ab*%$?é", max_size=12))
@example(b"User-agent: *\nCrawl-delay: " + b"9" * 10_000, "")
@example(b"User-agent: *\nDisallow: /%\nAllow: %%%\nSitemap: \xe4\n", "%")
def test_any_bytes_are_read(content: bytes, path: str) -> None:
    """And any path is judged; what comes out is no larger than what went in."""
    rules = parse(content)
    assert rules.allows("https://a.example/" + path) in {True, False}
    assert rules.crawl_delay_s is None or rules.crawl_delay_s >= 0
    assert sum(map(len, rules.sitemaps)) <= len(content)
    assert len(rules.paths.prefixes) + len(rules.paths.patterns) + len(rules.paths.whole or ()) <= len(
        content
    )


@pytest.mark.parametrize(
    ("text", "read_as"),
    [("1.5", 1.5), (".5", 0.5), ("3.", 3), ("0", 0), ("9" * 400, float("inf")), ("007", 7)]
    + [(bad, None) for bad in ("-1", "nan", "inf", "1e9", "\N{SUPERSCRIPT TWO}", ".", "1,5", "+1", "0x10")],
)
def test_a_delay_is_a_plain_number(text: str, read_as: float | None) -> None:
    """Whatever it is, no visits are kept apart for longer than the longest that is obeyed."""
    found = parse(f"User-agent: *\nCrawl-delay: {text}\n".encode()).crawl_delay_s
    assert found == read_as
    assert 0 <= crawl_delay_s(found) <= LONGEST_CRAWL_DELAY_S


def test_sitemaps_keep_their_own_letters() -> None:
    """In UTF-8, or else as the bytes say."""
    text = "Sitemap: http://a.example/\N{LATIN SMALL LETTER U WITH DIAERESIS}.xml\n"
    assert parse(text.encode()).sitemaps == parse(text.encode("latin-1")).sitemaps == (text[9:].strip(),)


HOSTILE_FILES = [
    lambda n: b"User-agent: *\n" * n + b"".join(b"Disallow: /%d\n" % i for i in range(n)),
    lambda n: b"User-agent: *\n" * n + b"Crawl-delay: 1\n" * n,
    lambda n: b"User-agent: *\n" + b"".join(b"Disallow: /*%d\n" % i for i in range(n)),
    lambda n: b"User-agent: *\n" + b"".join(b"Disallow: /%s\n" % (b"a" * i) for i in range(round(n**0.5))),
    lambda n: b"User-agent: *\nDisallow: /" + b"*a" * n + b"b\n",
    lambda n: b"\n" * n,
    lambda n: b"\0" * n,
    lambda n: b" " * n,
    lambda n: b"Disallow " * n,
    lambda n: b"%" * n + b":" * n,
    lambda n: b"Sitemap: /" + b"a" * n + b"\nSitemap:x" * n,
    lambda n: bytes(range(256)) * (n // 64),
]


@pytest.mark.parametrize("content", HOSTILE_FILES)
def test_reading_and_matching_are_linear(content: Callable[[int], bytes]) -> None:
    """Eight times the length takes at most about that much more of the processor."""

    def took_s(length: int) -> float:
        with collector_at_rest():
            begun = time.thread_time()
            rules = parse(content(length))
            for path in ("/" + "a" * 1900, "/12000/x"):
                rules.allows("https://a.example" + path)
            return time.thread_time() - begun

    short_s = min(took_s(2000) for _ in range(3))
    assert min(took_s(16_000) for _ in range(2)) < 8 * 6 * max(short_s, 0.001)

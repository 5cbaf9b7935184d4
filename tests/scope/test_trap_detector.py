"""Traps by their shape; and what looks like one and is none."""

import time
from collections.abc import Callable

import pytest

from farm.scope.trap_detector import TrapDetector, TrapParams
from tests.longest_turn import collector_at_rest

SITE = "https://a.example"


def watch(**more: int) -> TrapDetector:
    """Watch in the year 2026."""
    return TrapDetector(TrapParams(2026, **more))


def test_a_plain_catalogue_is_no_trap() -> None:
    """A hundred thousand products, all different; nor are its pages, or its archive."""
    traps = watch()
    assert not any(traps.is_trap(f"{SITE}/product/{n}") for n in range(1, 100_001))
    assert not any(traps.is_trap(f"{SITE}/product/{n}/{n % 12}") for n in range(1, 20_001))
    assert not any(traps.is_trap(f"{SITE}/list?page={n}") for n in range(1, 20_001))
    assert not any(traps.is_trap(f"{SITE}/news/{y}/{m:02}/") for y in range(1995, 2029) for m in range(1, 13))


@pytest.mark.parametrize(
    ("path", "springs"),
    [
        ("/a/a/a/", True),
        ("/shop/a/b/a/b/a/b", True),
        ("/a/a/", False),
        ("/1/1/1/", False),
        ("/docs/////x", False),
        ("/a/b/c/a/b/c", False),
        ("/calendar/2031/05/", True),
        ("/calendar/2031-05-12", True),
        ("/calendar?year=1890&month=3", False),
        ("/calendar?date=2035-01-01", True),
        ("/calendar/2027/05/", False),
        ("/events/list/2031/5", True),
        ("/product/4711/12", False),
        ("/product/9999-12", False),
        ("/shoes?from=5000&to=9000", False),
        ("/calendar/entry/471112", False),
        ("/calendar?year=2024", False),
    ],
)
def test_shapes(path: str, springs: bool) -> None:
    """Paths that repeat themselves, calendars that have gone beyond the years for which there are dates."""
    assert watch().is_trap(SITE + path) is springs


ID, OTHER_ID = "9f86d081884c7d659a2feaa0c55ad015", "2c26b46b68ffc68ff99b453c1d304134"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"?sid={ID}&a=2", f"?sid={OTHER_ID}&a=2"),
        ("?a=2&session_id=12345678901234567890", "?a=2&session_id=98765432109876543210"),
        ("?PHPSESSID=1", "?PHPSESSID=2"),
        ("?CFID=4711&CFTOKEN=12345678", "?CFID=4712&CFTOKEN=87654321"),
        (";jsessionid=A", ";jsessionid=B"),
    ],
)
def test_a_page_is_visited_under_one_session(one: str, other: str) -> None:
    """The first one that is met, again and again; no other."""
    traps = watch()
    assert not traps.is_trap(f"{SITE}/x{one}")
    assert not traps.is_trap(f"{SITE}/x{one}")
    assert traps.is_trap(f"{SITE}/x{other}")
    assert not traps.is_trap(f"{SITE}/y{other}")


@pytest.mark.parametrize(
    "shape",
    [
        "/modules.php?name=News&file=article&sid={}",
        "/article.pl?sid=26/11/01/{:06}",
        "/program?session_id={}",
        "/x?sid=a-story-of-many-words-about-nothing",
        "/index.php?option=com_content&view=article&id={}",
    ],
)
def test_a_parameter_is_judged_by_its_values(shape: str) -> None:
    """What is named like a session or a filter may say which page it is."""
    traps = watch()
    assert not any(traps.is_trap(SITE + shape.format(n)) for n in range(1, 1201))


@pytest.mark.parametrize("shape", ["/events/{}/{:02}/08", "/newspaper?year={}&month={}"])
def test_an_archive_before_1970_is_content_and_an_endless_calendar_is_not(shape: str) -> None:
    """Each calendar may have as many addresses before 1970 as the cap says."""
    traps = watch(past=500)
    urls = [SITE + shape.format(year, month) for year in range(1969, 1869, -1) for month in range(1, 13)]
    assert [traps.is_trap(url) for url in urls] == [False] * 500 + [True] * 700
    assert not traps.is_trap(urls[7])
    assert not traps.is_trap(f"{SITE}/other{shape.format(1900, 1)}")


def test_filters_are_combined_up_to_the_cap() -> None:
    """What is known stays; another path has its own."""
    traps = watch(combinations=10)
    urls = [f"{SITE}/shoes?color={n}&size={n % 4}&sort={n % 2}" for n in range(30)]
    assert [traps.is_trap(url) for url in urls] == [False] * 10 + [True] * 20
    assert not traps.is_trap(urls[3])
    assert not traps.is_trap(f"{SITE}/hats?sort=up&color=1&size=4")


def test_a_filter_that_is_only_sometimes_there_varies() -> None:
    """Its absence is a value of its own."""
    traps = watch(combinations=10)
    chosen = [[name for bit, name in enumerate("abcd") if n >> bit & 1] for n in range(16)]
    urls = [f"{SITE}/shirts?x=1&y=1{''.join(f'&{name}=1' for name in names)}" for names in chosen]
    # The first has two parameters only; ten more are let through.
    assert sum(map(traps.is_trap, urls)) == 16 - 1 - 10


HOSTILE = [
    lambda n: "/" + "/" * n,
    lambda n: "/" + "1/" * n,
    lambda n: "/" + "a/a/b/" * n,
    lambda n: "/" + "1/1/1/a/a/" * n,
    lambda n: "/" + "calend" * n + "/" * n,
    lambda n: "/" + "calend/" * n + "2031/" * n,
    lambda n: "/calendar" + "/2031" * n + "/13",
    lambda n: "/x?" + "sid=" * n,
    lambda n: "/x?" + f"sid={ID}&" * n,
    lambda n: "/x?sid=" + "a" * n,
    lambda n: "/x;" + ";jsessionid=" * n,
    lambda n: "/x?" + "a&" * n,
    lambda n: "/x?" + "&".join(f"a{i}" for i in range(n)),
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_judgement_is_linear_in_the_length_of_the_address(path: Callable[[int], str]) -> None:
    """Sixteen times the length takes at most about that much more of the processor."""

    def took_s(length: int) -> float:
        traps, url = watch(), SITE + path(length)
        return min(_cpu_s(lambda: traps.is_trap(url)) for _ in range(5))

    assert took_s(16_000) < 16 * 6 * max(took_s(1000), 0.0002)


def _cpu_s(work: Callable[[], object]) -> float:
    with collector_at_rest():
        begun = time.thread_time()
        work()
        return time.thread_time() - begun


def test_what_is_remembered_is_bounded() -> None:
    """However many sessions and filters a site invents."""
    traps = watch(remembered=500)
    for n in range(5000):
        traps.is_trap(f"{SITE}/x{n}?phpsessid={n}&a={n}&b={n}")
    assert len(traps._sessions) <= 500
    assert len(traps._combined) <= 6
    for n in range(5000):
        traps.is_trap(f"{SITE}/events{n}/1900/05/")
    assert len(traps._past) <= 6

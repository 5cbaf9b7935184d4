"""Traps by their shape; and what looks like one and is none."""

import pytest

from farm.scope.traps import TrapParams, TrapWatch

SITE = "https://a.example"


def watch(**more: int) -> TrapWatch:
    """Watch in the year 2026."""
    return TrapWatch(TrapParams(2026, **more))


def test_a_plain_catalogue_is_no_trap() -> None:
    """A hundred thousand products, all different; nor are its pages, or its archive."""
    traps = watch()
    assert not any(traps.springs(f"{SITE}/product/{n}") for n in range(1, 100_001))
    assert not any(traps.springs(f"{SITE}/product/{n}/{n % 12}") for n in range(1, 20_001))
    assert not any(traps.springs(f"{SITE}/list?page={n}") for n in range(1, 20_001))
    assert not any(traps.springs(f"{SITE}/news/{y}/{m:02}/") for y in range(1995, 2029) for m in range(1, 13))


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
        ("/calendar?year=1890&month=3", True),
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
    """Paths that repeat themselves, calendars that have left their years."""
    assert watch().springs(SITE + path) is springs


def test_a_page_is_visited_under_one_session() -> None:
    """The first one that is met, again and again; no other."""
    traps = watch()
    assert not traps.springs(f"{SITE}/x?sid=1&a=2")
    assert not traps.springs(f"{SITE}/x?sid=1&a=2")
    assert traps.springs(f"{SITE}/x?sid=2&a=2")
    assert not traps.springs(f"{SITE}/y?sid=2&a=2")
    assert not traps.springs(f"{SITE}/z;jsessionid=A")
    assert traps.springs(f"{SITE}/z;jsessionid=B")


def test_filters_are_combined_up_to_the_cap() -> None:
    """What is known stays; another path has its own."""
    traps = watch(combinations=10)
    urls = [f"{SITE}/shoes?color={n}&size=4&sort=up" for n in range(30)]
    assert [traps.springs(url) for url in urls] == [False] * 10 + [True] * 20
    assert not traps.springs(urls[3])
    assert not traps.springs(f"{SITE}/hats?sort=up&color=1&size=4")


def test_what_is_remembered_is_bounded() -> None:
    """However many sessions and filters a site invents."""
    traps = watch(remembered=500)
    for n in range(5000):
        traps.springs(f"{SITE}/x{n}?sid={n}&a=1&b=2")
    assert len(traps._sessions) <= 500
    assert len(traps._combined) <= 6

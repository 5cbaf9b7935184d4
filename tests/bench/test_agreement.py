"""The comparison of `auto` with the browser finds what a record lacks, and nothing that changes on each visit."""

from typing import Any

import pytest

from bench.agreement import Crawled, compared, lines_of, without_scripts

URL = "http://a.example/1"
TOLD = {"compared": 30, "audits": 3, "requeued": 0, "most_wrong": 0}


def record(text: str, *links: str, by: str = "browser", **values: Any) -> dict[str, Any]:
    """Return a record of the page."""
    empty = {
        "status": 200,
        "title": "Lamp",
        "lang": "en",
        "blocked_by": None,
        "metadata": None,
        "noindex": False,
    }
    found = [{"url": link, "text": "", "rel": ""} for link in links]
    page = {"url": URL, "final_url": URL, "canonical": None, "text": text, "links": found, "rendered_by": by}
    return empty | page | values


def crawled(one: dict[str, Any], *, repeated: int = 0, most_wrong: int = 0) -> Crawled:
    """Return a crawl of the one page."""
    return Crawled({one["url"]: one}, repeated, {"renderers": TOLD | {"most_wrong": most_wrong}})


@pytest.mark.parametrize(
    ("auto", "differs"),
    [
        (record("Lamp\n7 euros", "http://a.example/2", by="fetch"), ""),
        (record("Lamp 7\n euros", "http://a.example/2", by="fetch"), ""),
        (record("Lamp", "http://a.example/2", by="fetch"), "fetch: lines: lacks 1, such as '7 euros'"),
        (record("Lamp\n7 euros", by="light"), "light: links: lacks 1, such as 'http://a.example/2'"),
        (
            record("Lamp\n7 euros", "http://a.example/2", by="fetch", title="Shop"),
            "fetch: title: 'Shop' in place of 'Lamp'",
        ),
    ],
)
def test_a_record_that_lacks_something_is_listed(auto: dict[str, Any], differs: str) -> None:
    """With its renderer; where a line is broken is no difference."""
    browser = crawled(record("Lamp\n7 euros", "http://a.example/2"))
    found = compared("shop", [browser, browser], crawled(auto))
    assert dict(found.differences) == ({URL: differs} if differs else {})
    assert found.is_good == (not differs)
    assert compared("shop", [browser, browser], crawled(auto, most_wrong=1)).is_good
    assert (f"  differs  {URL}  {differs}" in lines_of(found)) == bool(differs)


def test_what_is_another_on_each_visit_is_no_difference() -> None:
    """The two records of the browser show what is chance; without any offer it is one."""
    browser = [crawled(record(f"Lamp\nOffer {number}")) for number in (17, 23)]
    assert compared("shop", browser, crawled(record("Lamp\nOffer 99", by="fetch"))).differences == {}
    assert compared("shop", browser, crawled(record("Lamp", by="fetch"))).differences != {}


def test_a_page_that_is_missing_or_comes_twice_is_told() -> None:
    """Neither is within any bound."""
    browser = crawled(record("Lamp"))
    other = {**record("Lamp"), "url": "http://a.example/2"}
    found = compared("shop", [browser], crawled(other, most_wrong=9))
    assert (found.missing, dict(found.differences)) == (
        [URL],
        {other["url"]: "browser: the browser has no such page"},
    )
    assert not found.is_good
    assert f"  missing  {URL}" in lines_of(found)
    twice = compared("shop", [browser], crawled(record("Lamp"), repeated=1, most_wrong=9))
    assert not twice.is_good
    assert "  1 records more than pages" in lines_of(twice)


def test_a_page_of_a_server_has_no_scripts() -> None:
    """Nor what is said to clients without them."""
    html = "<p>a</p><script src=/x></script><p>b</p><noscript>No.</noscript><script>1</script>c"
    assert without_scripts(html) == "<p>a</p><p>b</p>c"

"""Pages without a browser, from the command line to the records: alone, and beside the browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest

from fixtures.sites import Answer, served
from tests.e2e.farm_process import Finished, crawl, farm

SHELL = "<div id=root></div><script>document.body.innerHTML = '<h1>Drawn</h1><a href=/e>e</a>'</script>"
PAGES = {
    "/": "<title>Home</title><h1>Home</h1><a href=/a>a</a> <a href=/b>b</a>",
    "/a": "<title>A</title><p>Ärzte<table><tr><td>1<td>2</table><a href='/c?x=1'>c</a>",
    "/b": "<title>B</title><script>document.title = 'No'</script><p>b",
    "/c?x=1": "<title>C</title><noscript>no</noscript>c",
    "/shell": SHELL,
    "/e": "<title>E</title><h1>e</h1>",
}


@contextmanager
def site(agents: list[str]) -> Iterator[str]:
    """Serve the pages on loopback, and note the user agents that requested them; yield the origin."""

    def answer(path: str, headers: Message) -> Answer:
        page = PAGES.get(path)
        if page is None:
            return Answer(status=404)
        agents.append(headers["User-Agent"])
        return Answer(page.encode(), content_type="text/html; charset=utf-8")

    with served(answer, keeps_open=True) as origin:
        yield origin


def shown(finished: Finished, origin: str) -> dict[str, tuple[str, str]]:
    """Return the title and the renderer of each page by its path."""
    records = finished.records
    return {one["url"].removeprefix(origin): (one["title"], one["rendered_by"]) for one in records}


def test_a_site_is_crawled_without_a_browser(out: Path) -> None:
    """No browser is looked for, and none is started; what scripts would add is not there."""
    agents: list[str] = []
    with site(agents) as origin:
        running = crawl(out, f"{origin}/", render="fetch", browser=str(out / "none"))
        finished = running.finish()
    assert finished.code == 0, finished.output
    assert shown(finished, origin) == {
        "/": ("Home", "fetch"),
        "/a": ("A", "fetch"),
        "/b": ("B", "fetch"),
        "/c?x=1": ("C", "fetch"),
    }
    [record] = [one for one in finished.records if one["title"] == "A"]
    assert record["text"] == "Ärzte\n1\t2\nc"
    assert (record["settled"], record["settle_reason"]) == (True, "fetched")
    assert record["links"] == [{"url": f"{origin}/c?x=1", "text": "c", "rel": ""}]
    assert all("CrawlFarm" in agent for agent in agents)
    assert len(agents) == 4
    summary = finished.summary
    assert summary["ledger"]["done"] == 4
    assert summary["recycled"] == {"contexts": 0, "engines": 0}


def test_what_needs_a_browser_goes_up_to_it_in_the_same_lease(out: Path) -> None:
    """A page that its script has to draw; its site is asked twice, and the page is no second attempt."""
    agents: list[str] = []
    with site(agents) as origin:
        (out.parent / "farm.toml").write_text(
            f'[site."{origin.removeprefix("http://")}"]\nrender = "fetch"\n'
            f'[[site."{origin.removeprefix("http://")}".page]]\nmatch = "/e"\nrender = "browser"\n'
        )
        finished = crawl(out, f"{origin}/shell", contexts="1").finish()
    assert finished.code == 0, finished.output
    assert shown(finished, origin) == {"/shell": ("", "browser"), "/e": ("E", "browser")}
    assert [one["attempt"] for one in finished.records] == [1, 1]
    assert finished.records[0]["text"].startswith("Drawn")
    assert len(agents) == 3
    assert [agent.startswith("Mozilla/5.0 (compatible; ") for agent in agents] == [True, False, False]


def test_a_seed_says_by_what_it_is_brought(out: Path) -> None:
    """By a browser, in a crawl that starts none otherwise."""
    agents: list[str] = []
    with site(agents) as origin:
        seeds = out.parent / "seeds.jsonl"
        seeds.write_text(f'{{"url": "{origin}/e", "render": "browser"}}\n{origin}/a\n')
        finished = crawl(out, seeds=str(seeds), render="fetch", scope="page").finish()
    assert finished.code == 0, finished.output
    assert shown(finished, origin) == {"/e": ("E", "browser"), "/a": ("A", "fetch")}


@pytest.mark.parametrize(("render", "asked"), [("fetch", "browser"), ("browser", "fetch")])
def test_a_seed_that_is_added_later_is_rendered_as_it_asks(out: Path, render: str, asked: str) -> None:
    """By a run without seeds, which has only what the crawl keeps of them."""
    with site([]) as origin:
        assert crawl(out, f"{origin}/c?x=1", render=render).finish().code == 0
        seeds = out.parent / "seeds.jsonl"
        seeds.write_text(f'{{"url": "{origin}/e", "render": "{asked}"}}')
        assert farm("add", "--seeds", str(seeds), "--output", str(out), folder=out).code == 0
        finished = crawl(out, render=render).finish()
    assert finished.code == 0, finished.output
    assert shown(finished, origin) == {"/c?x=1": ("C", render), "/e": ("E", asked)}


def test_a_site_that_redirects_elsewhere_is_not_held_up_by_what_is_answered_there(out: Path) -> None:
    """One refuses for an hour, of another the robots.txt does: both are out of scope, and the crawl ends."""
    later = {"Retry-After": "3600"}

    def refuses(path: str, _headers: Message) -> Answer:
        return Answer(status=404) if path == "/robots.txt" else Answer(status=429, headers=later)

    def is_closed(path: str, _headers: Message) -> Answer:
        return Answer(status=503, headers=later) if path == "/robots.txt" else Answer(b"<p>Open")

    with served(refuses) as one, served(is_closed) as other:
        # By name, since another port of the address would be the same domain.
        targets = {
            path: origin.replace("127.0.0.1", "localhost")
            for path, origin in (("/one", one), ("/other", other))
        }

        def answer(path: str, _headers: Message) -> Answer:
            if path in targets:
                return Answer(status=302, headers={"Location": f"{targets[path]}/"})
            links = "<a href=/one>1</a> <a href=/other>2</a> <a href=/a>a</a>" if path == "/" else ""
            return Answer(f"<p>Here {links}".encode(), 404 if path == "/robots.txt" else 200)

        with served(answer) as origin:
            finished = crawl(out, f"{origin}/", render="fetch", contexts="1").finish(timeout_s=30)
    assert finished.code == 0, finished.output
    assert sorted(finished.urls) == [f"{origin}/", f"{origin}/a"]
    assert {(one["url"].removeprefix(origin), one["reason"]) for one in finished.skips} == {
        ("/one", "out_of_scope"),
        ("/other", "out_of_scope"),
    }

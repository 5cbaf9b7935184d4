"""`farm run --app`: the handlers of a module on the command line, in several processes and on several nodes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import catalogue
from fixtures.shop import Shop
from tests.e2e.farm_process import Running, crawl, end_all, farm, read_lines, seen_pages
from tests.e2e.redis_server import RedisServer

APP = """
from farm import Farm, Page, Summary

farm = Farm(retries=0, limit=50)


@farm.page("/c/*")
async def category(page: Page) -> None:
    page.follow("a[href^='/p/']", label="product")
    page.follow("a[href*='page=']")


@farm.page(label="product")
async def product(page: Page) -> None:
    page.emit({"name": page.css(".product h1")[0].text})


@farm.on_finished
async def end(summary: Summary) -> None:
    print("ended:", summary.exit_reason)


if __name__ == "__main__":
    farm.run_sync()
"""

STOPPING = """
from farm import Farm, Page

farm = Farm()


@farm.default
async def first(page: Page) -> None:
    page.follow("a[href^='/']")
    farm.stop()
"""


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Return an output folder beside the module `shop`, and leave no farm behind."""
    (tmp_path / "shop.py").write_text(APP)
    yield tmp_path / "out"
    end_all()


def start(out: Path, *arguments: str, **settings: str) -> Running:
    """Start a run of the app."""
    return crawl(out, "--app", "shop:farm", *arguments, **settings)


def categories(shop: Shop, number: int = 6) -> list[str]:
    """Return where the products are linked."""
    return [shop.at(one.path) for one in catalogue.CATEGORIES[:number]]


def test_an_app_is_run_with_its_options(shop: Shop, out: Path) -> None:
    """A flag wins over a keyword of its Farm; the hook for the end is called."""
    finished = start(out, *categories(shop, 2), limit="60").finish()
    assert finished.code == 0, finished.output
    assert "ended: finished" in finished.output
    settings = finished.summary["settings"]
    assert (settings["limit"], settings["retries"], settings["app"]) == (60, 0, "shop:farm")
    wanted = {one.name for one in catalogue.products() if one.category in catalogue.CATEGORIES[:2]}
    assert sorted(one["name"] for one in read_lines(out / "items.jsonl")) == sorted(wanted)


@pytest.mark.slow
def test_an_app_goes_on_after_a_kill_in_several_processes(shop: Shop, out: Path) -> None:
    """Each product once, whatever was killed; labels are not lost."""
    before = len(shop.requests.pages())
    running = start(out, *categories(shop), limit="0", processes="2", contexts="4")
    seen_pages(shop, before + 12)
    running.kill()
    finished = start(out, limit="0", processes="2", contexts="4").finish()
    assert finished.code == 0, finished.output
    names = [one["name"] for one in read_lines(out / "items.jsonl")]
    assert sorted(names) == sorted(one.name for one in catalogue.products())


def test_a_crawl_with_handlers_does_not_go_on_without(shop: Shop, out: Path) -> None:
    """It would follow other links; who means it says so."""
    assert start(out, shop.at("/about")).finish().code == 0
    again = farm("run", "--output", str(out), folder=out)
    assert again.code == 2
    assert "was created with the handlers of --app shop:farm; give it again, or --app none" in again.output
    assert crawl(out, shop.at("/delivery"), "--app", "none", "--limit", "1").finish().code in {0, 5}


@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_handler_ends_the_run(shop: Shop, out: Path, processes: str) -> None:
    """By `farm.stop()`: the whole node; what is queued stays queued."""
    (out.parent / "shop.py").write_text(STOPPING)
    finished = start(out, shop.url, processes=processes, contexts="2").finish()
    assert finished.code == 5, finished.output
    assert finished.summary["exit_reason"] == "stopped"
    assert finished.summary["ledger"]["queued"] > 0
    assert "the user's code stops this node" in (out / "farm.log").read_text()


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("shop", APP, "write MODULE:NAME, such as shop:farm"),
        ("shops:farm", APP, "there is no module shops in"),
        ("shop:crawl", APP, "shop has no crawl; name the Farm object of it"),
        ("shop:Page", APP, "it is not a Farm; name the object"),
        (
            "shop:farm",
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found' at",
        ),
        ("shop:farm", "\nfarm = 1 / 0", "ZeroDivisionError: division by zero at shop.py:2 <module>"),
        (
            "shop:farm",
            "from farm import Farm\nfarm = Farm(rate=5)",
            "--app shop:farm: --rate 5: write a rate",
        ),
        (
            "shop:farm",
            "from farm import Farm\nFarm().run_sync('http://a.example/')",
            "it runs a crawl while it is imported; put that under",
        ),
    ],
)
def test_what_is_no_app_is_refused_with_its_place(out: Path, name: str, source: str, message: str) -> None:
    """One sentence, and nothing is begun."""
    (out.parent / "shop.py").write_text(source)
    finished = farm("run", "--app", name, "http://a.example/", "--output", str(out), folder=out)
    assert finished.code == 2
    assert message in finished.output
    assert "Traceback" not in finished.output
    assert not out.exists()


def test_a_node_with_other_code_is_refused(shop: Shop, out: Path, tmp_path: Path) -> None:
    """While another one is at work; once that has ended, the new code may go on."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    shared = {"redis": server.url, "crawl": "shared"}
    before = len(shop.requests.pages())
    try:
        running = start(out, shop.at("/about"), "--stay", node="first", **shared)
        seen_pages(shop, before + 1)
        (tmp_path / "shop.py").write_text(APP + "\nCHANGED = True\n")
        other = start(tmp_path / "other", node="second", **shared).finish()
        assert other.code == 2
        assert "The node first is at work on this crawl with other handlers" in other.output
        running.signal(signal.SIGTERM)
        assert running.finish().code == 143
        assert start(tmp_path / "other", shop.at("/delivery"), node="second", **shared).finish().code == 0
    finally:
        server.kill()

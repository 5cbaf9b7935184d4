"""`--markdown` and `--main-text`, as a user runs them."""

import json
import signal
from pathlib import Path

import psutil

from fixtures.shop import Shop
from fixtures.sites import serving
from tests.e2e.farm_process import Finished, Running, crawl, until
from tests.e2e.test_fetch import fetch
from tests.processes import alive, command_of

PARAGRAPH = "The kiln was lit at dawn, and by noon the first jars stood on the shelf to cool."
PAGE = f"""<!doctype html><title>Kilns</title><nav><a href="/shop">Shop</a></nav>
<article><h1>Kilns</h1>{"".join(f"<p>{PARAGRAPH} {number}</p>" for number in range(8))}
<table><tr><th>Jar</th><th>cm</th></tr><tr><td><a href="jar">Alder</a></td><td>9</td></tr></table></article>
<my-note></my-note><script>
document.querySelector("my-note").attachShadow({{mode: "open"}}).innerHTML = "<h2>In the shadow</h2>";
</script>"""
HTML = "text/html; charset=utf-8"


def parsers(running: Running) -> set[psutil.Process]:
    """Return the parser processes of a farm."""
    return {
        one for one in alive(running.family()) if any("parser_process" in part for part in command_of(one))
    }


def test_a_record_has_both_beside_the_text(out: Path) -> None:
    """Also without the HTML that they are made of; the parser has ended with the farm."""
    with serving(PAGE, HTML) as url:
        # It stays, so that its parser is there to be seen.
        running = crawl(out, url, "--markdown", "--main-text", "--no-html", "--stay", scope="page")
        until(lambda: len(Finished(0, "", out).records) == 1, "the record")
        until(lambda: bool(parsers(running)), "a parser process")
        running.signal(signal.SIGTERM)
        finished = running.finish()
    assert finished.code == 143, finished.output
    (record,) = finished.records
    assert record["html"] is None
    assert record["text"].startswith("Shop")
    assert f"[Shop]({url}shop)" in record["markdown"]
    assert f"| [Alder]({url}jar) | 9" in record["markdown"]
    assert "## In the shadow" in record["markdown"]
    assert f"{PARAGRAPH} 7" in record["main_text"]
    assert "Shop" not in record["main_text"]
    assert record["page_errors"] == []
    assert not alive(running.seen)


def test_neither_is_made_where_it_is_not_asked_for(whole_crawl: Finished) -> None:
    """Both are null."""
    records = whole_crawl.records
    assert {(record["markdown"], record["main_text"]) for record in records} == {(None, None)}


def test_a_killed_farm_leaves_no_parser(shop: Shop, out: Path) -> None:
    """The reaper ends what nobody asks any more."""
    running = crawl(out, shop.url, "--markdown")
    until(lambda: bool(parsers(running)), "a parser process")
    mine = parsers(running)
    running.kill()
    until(lambda: not alive(mine), "the end of the parser processes")


def test_a_parser_that_is_killed_costs_no_page(shop: Shop, out: Path) -> None:
    """Each page has its Markdown all the same."""
    running = crawl(out, shop.url, "--markdown")
    until(lambda: bool(parsers(running)), "a parser process")
    for process in parsers(running):
        process.kill()
    finished = running.finish()
    assert finished.code == 0, finished.output
    assert {record["url"] for record in finished.records} == set(shop.oracle.urls)
    pages = [record for record in finished.records if record["html"]]
    assert all(record["markdown"] for record in pages)


def test_fetch_prints_them(tmp_path: Path) -> None:
    """Each alone, or both in the record."""
    with serving(PAGE, HTML) as url:
        markdown = fetch(tmp_path, "--markdown", url)
        main_text = fetch(tmp_path, "--main-text", url)
        record = json.loads(fetch(tmp_path, "--json", "--markdown", url).stdout)
        both = fetch(tmp_path, "--html", "--main-text", url)
    assert (markdown.returncode, markdown.stderr) == (0, "")
    assert f"# Kilns\n\n{PARAGRAPH} 0\n\n" in markdown.stdout
    assert "## In the shadow" in markdown.stdout
    assert PARAGRAPH in main_text.stdout
    assert "Shop" not in main_text.stdout
    assert record["markdown"] == markdown.stdout.removesuffix("\n")
    assert record["main_text"] is None
    assert both.returncode == 2
    assert "--main-text and --html exclude each other" in both.stderr

"""What the words of the command line mean: limits, joining, resuming, outcomes."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import crawl, start
from tests.egress.servers import listening, ok, read_head


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Open a shop without faults, for runs that see a few of its pages."""
    with serve_shop_in_thread() as opened:
        yield opened


def test_a_limit_is_kept_exactly_and_what_is_queued_stays_queued(shop: Shop, out: Path) -> None:
    """Seven pages with four contexts are seven pages; there is work left, so the code is 5."""
    finished = crawl(out, shop.url, contexts="4", limit="7").finish()
    assert finished.code == 5, finished.output
    assert len(finished.records) == 7
    assert finished.summary["exit_reason"] == "limit"
    assert finished.summary["ledger"]["queued"] > 0
    again = crawl(out, limit="9").finish()
    assert again.code == 5
    assert len(again.records) == 9, "the limit counts over all runs of the crawl"


def test_a_limit_that_leaves_nothing_is_a_finished_crawl(shop: Shop, out: Path) -> None:
    """A limit that is reached with the last page is no reason to complain."""
    finished = crawl(out, shop.url, scope="page", limit="1").finish()
    assert finished.code == 0, finished.output
    assert len(finished.records) == 1


def test_a_time_limit_ends_the_run_with_work_left(out: Path) -> None:
    """The time is up while pages wait."""
    with serve_shop_in_thread(held=True) as held:
        finished = crawl(out, held.url, time_limit="500ms", drain_timeout="6s").finish()
        assert finished.code == 5, finished.output
        assert finished.summary["exit_reason"] == "time_limit"
        assert finished.summary["ledger"]["leased"] == 0
        held.release()


def test_a_finished_crawl_that_is_run_again_fetches_nothing(shop: Shop, out: Path) -> None:
    """Not a page, and not a browser either."""
    assert crawl(out, shop.url, depth="0").finish().code == 0
    asked = len(shop.requests)
    again = crawl(out, shop.url, depth="0").finish()
    assert again.code == 0, again.output
    assert len(again.records) == 1
    assert len(shop.requests) == asked


def test_fresh_forgets_the_crawl_and_its_records(shop: Shop, out: Path) -> None:
    """`--fresh` visits again, under other settings if need be; what the old crawl found is gone."""
    before = crawl(out, shop.url, shop.at("/about"), scope="page").finish()
    newest = max(record["fetched_at"] for record in before.records)
    assert len(before.records) == 2
    asked = len(shop.requests.pages())
    finished = start(
        *("run", shop.url, "--fresh", "--depth", "0", "--output", str(out), "--live", "off"),
        *("--allow-network", "127.0.0.0/8", "--contexts", "1"),
        folder=out,
    ).finish()
    assert finished.code == 0, finished.output
    assert len(shop.requests.pages()) == asked + 1
    assert len(finished.records) == 1
    assert finished.records[0]["fetched_at"] > newest


def test_settings_that_contradict_the_crawl_are_refused_with_the_difference(shop: Shop, out: Path) -> None:
    """What the crawl was created with counts for everybody who joins."""
    assert crawl(out, shop.url, depth="0").finish().code == 0
    refused = crawl(out, depth="1").finish()
    assert refused.code == 2
    assert "depth = 0 (here 1)" in refused.output
    assert refused.output.count("\n") == 1


def test_a_crawl_is_joined_without_repeating_its_settings(shop: Shop, out: Path) -> None:
    """What is not said is taken from the crawl."""
    assert crawl(out, shop.url, depth="1", limit="2").finish().code == 5
    finished = crawl(out).finish()
    assert finished.code == 0, finished.output
    assert set(finished.urls) == shop.oracle.within(1)


def test_excluded_and_included_urls_are_told_apart(shop: Shop, out: Path) -> None:
    """Patterns are searched in the canonical URL."""
    finished = crawl(out, shop.url, include="/(about|delivery)", exclude="delivery").finish()
    assert finished.code == 0, finished.output
    assert all(url == shop.url or "about" in url for url in finished.urls)
    assert finished.summary["skipped"]["excluded"] > 10


def test_a_missing_page_is_done_with_its_status(shop: Shop, out: Path) -> None:
    """404 is an answer."""
    finished = crawl(out, shop.oracle.missing_url, scope="page").finish()
    assert finished.code == 0, finished.output
    assert [record["status"] for record in finished.records] == [404]


def test_a_server_error_is_retried_and_then_done(out: Path) -> None:
    """The first visit fails, the second one succeeds: one record, of the second attempt."""
    with serve_shop_in_thread(flaky_first=("/",)) as flaky:
        finished = crawl(out, flaky.url, depth="0").finish()
    assert finished.code == 0, finished.output
    assert [record["attempt"] for record in finished.records] == [2]


def test_a_server_error_that_stays_is_dead(out: Path) -> None:
    """With its reason, after as many visits as were requested."""
    with serve_shop_in_thread(error_every=1) as broken:
        finished = crawl(out, broken.url, retries="1").finish()
        assert len(broken.requests.pages()) == 2
    assert finished.code == 8, finished.output
    assert finished.records == []
    assert finished.summary["dead"] == {"http_5xx": 1}


@pytest.mark.slow
def test_too_many_requests_put_a_page_off_without_costing_an_attempt(out: Path) -> None:
    """A site that asks to wait is waited for."""
    with serve_shop_in_thread(too_many_every=2, retry_after_s=0) as busy:
        finished = crawl(out, busy.url, depth="1", retries="0").finish()
        assert set(finished.urls) == busy.oracle.within(1)
    assert finished.code == 0, finished.output
    assert {record["attempt"] for record in finished.records} == {1}


@pytest.mark.parametrize("path", ["/faults/download", "/faults/pdf", "/faults/204", "/faults/json"])
def test_what_is_no_page_is_done_with_its_type(shop: Shop, out: Path, path: str) -> None:
    """Never a hang, never an error page stored as content."""
    finished = crawl(out, shop.at(path), scope="page").finish()
    assert finished.code == 0, finished.output
    [record] = finished.records
    assert record["html"] == ""
    assert record["status"] in {200, 204}


def test_a_redirect_is_recorded_under_the_url_that_was_asked_for(shop: Shop, out: Path) -> None:
    """`final_url` is where it ended, and that counts as seen."""
    url = shop.at("/faults/redirect-chain/3")
    finished = crawl(out, url, depth="0").finish()
    assert finished.code == 0, finished.output
    [record] = finished.records
    assert record["url"] == url
    assert record["final_url"] != url


def test_a_redirect_out_of_the_scope_is_a_late_skip(shop: Shop, out: Path) -> None:
    """Settled as done, with a line that says why, and without a record."""
    finished = crawl(
        out, shop.url, shop.at(f"/faults/redirect-to?url={_elsewhere(shop)}"), depth="0"
    ).finish()
    assert finished.code == 0, finished.output
    assert finished.urls == [shop.url]
    assert finished.summary["ledger"]["done"] == 2
    assert finished.summary["skipped"]["out_of_scope"] >= 1


def _elsewhere(shop: Shop) -> str:
    return f"http://localhost:{shop.port}/about"


def test_a_private_address_is_refused_and_not_retried(shop: Shop, out: Path) -> None:
    """The same shop, without leave to reach this machine."""
    finished = start(
        *("run", shop.url, "--output", str(out), "--live", "off", "--contexts", "1", "--ramp-up", "0s"),
        folder=out,
    ).finish()
    assert finished.code == 8, finished.output
    assert finished.records == []
    assert finished.summary["skipped"] == {"private_network": 1}
    assert finished.summary["ledger"]["done"] == 1


def test_a_seeds_file_brings_priorities_and_meta(shop: Shop, out: Path) -> None:
    """Meta comes back in the record; a bad line is reported with its number and the rest is taken."""
    seeds = out.parent / "seeds.txt"
    first = json.dumps({"url": shop.at("/about"), "priority": 9, "meta": {"batch": 7}})
    seeds.write_text(f"# a comment\n\n{first}\nnot a url\n{shop.url}\n")
    finished = crawl(out, seeds=str(seeds), scope="page").finish()
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == {shop.at("/about"): 1, shop.url: 1}
    assert {record["url"]: record["meta"] for record in finished.records}[shop.at("/about")] == {"batch": 7}
    assert "line 4" in finished.output


def test_cookies_of_one_site_never_reach_another(out: Path) -> None:
    """Two shops on one context: the second sees nothing of the first."""
    with serve_shop_in_thread() as one, serve_shop_in_thread() as two:
        urls = [shop.at("/faults/cookie") for shop in (one, two)]
        finished = crawl(out, *urls, contexts="1", scope="page").finish()
        assert finished.code == 0, finished.output
        visits = [v for shop in (one, two) for v in shop.requests.all() if v.path == "/faults/cookie"]
    assert [visit.headers.get("Cookie") for visit in visits] == [None, None]


async def test_a_document_that_breaks_off_once_loses_no_page(out: Path) -> None:
    """The first visit ends in the middle of the document, before its link: the second one brings it."""
    body = b"<!doctype html><title>T</title>" + b"<p>More.</p>" * 200 + b"<a href=/next>Next</a>"
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_head(reader)).split(b" ", 2)[1]
        answer = ok(b"" if path == b"/robots.txt" else body, b"Content-Type: text/html", b"Connection: close")
        if path == b"/" and path not in asked:
            answer = answer[: len(answer) // 2]
        asked.append(path)
        writer.write(answer)
        await writer.drain()

    async with listening(talk) as site:
        running = crawl(out, f"{site.url}/")
        finished = await asyncio.to_thread(running.finish)
    assert finished.code == 0, finished.output
    assert [(record["url"][len(site.url) :], record["attempt"]) for record in finished.records] == [
        ("/", 2),
        ("/next", 1),
    ]
    assert not any(record["truncated"] for record in finished.records)

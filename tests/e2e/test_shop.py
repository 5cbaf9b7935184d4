"""A whole crawl of the shop against the oracle, over HTTP and HTTPS."""

import unicodedata
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from farm.model.record import COLUMNS, RECORD_SCHEMA
from fixtures.authority import Flaw
from fixtures.oracle import Oracle
from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, start


def assert_complete(finished: Finished, oracle: Oracle) -> None:
    """Every page once, with its title, price, text, links and metadata."""
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(oracle.urls, 1)
    for record in finished.records:
        expected = oracle.pages[record["url"]]
        assert record["title"] == expected.title
        missing = [phrase for phrase in expected.text if phrase not in record["text"]]
        assert not missing, f"{record['url']}: {missing}"
        wanted = {link.partition("#")[0] for link in expected.links if link.startswith("http")}
        assert {link["url"] for link in record["links"]} == wanted
        assert record["metadata"] == {
            "json_ld": [expected.json_ld] if expected.json_ld else [],
            "open_graph": expected.open_graph,
            "twitter": {},
            "microdata": [],
            "errors": [],
        }
        assert record["charset"] == "UTF-8"
        text = " ".join(unicodedata.normalize("NFC", record["text"]).split())
        assert record["content_hash"] == sha256(text.encode()).hexdigest()
        assert record["status"] == 200
        assert record["settled"] is True


def test_every_page_is_recorded_once_with_what_the_oracle_knows(
    whole_crawl: Finished, whole_shop: Shop
) -> None:
    """The records are the shop: titles, prices, texts and links."""
    assert_complete(whole_crawl, whole_shop.oracle)


def test_every_product_has_its_price_in_its_text(whole_crawl: Finished, whole_shop: Shop) -> None:
    """What only JavaScript puts on the page is there."""
    texts = {record["url"]: record["text"] for record in whole_crawl.records}
    products = whole_shop.oracle.products
    assert len(products) == 60
    for url, product in products.items():
        assert product.product in texts[url]
        assert product.price in texts[url]


def test_the_server_was_asked_for_each_page_once(whole_crawl: Finished, whole_shop: Shop) -> None:
    """No page is fetched twice, whatever the number of contexts and of links to it."""
    assert whole_crawl.code == 0
    asked = Counter(visit.path for visit in whole_shop.requests.pages())
    attempts = {record["url"]: record["attempt"] for record in whole_crawl.records if record["attempt"] > 1}
    assert {path: number for path, number in asked.items() if number > 1} == {}, attempts


def test_the_summary_balances_and_counts_every_page_as_done(whole_crawl: Finished, whole_shop: Shop) -> None:
    """The ledger of a finished crawl: everything done, nothing dead, nothing open."""
    summary = whole_crawl.summary
    pages = len(whole_shop.oracle.urls)
    assert summary["ledger"] == {
        "accepted": pages,
        "queued": 0,
        "delayed": 0,
        "leased": 0,
        "done": pages,
        "dead": 0,
    }
    assert summary["exit_reason"] == "finished"
    assert summary["pages_per_s"] > 0
    assert 0 < summary["peak_memory_bytes"] < summary["memory_budget_bytes"]
    assert summary["skipped"] == dict(Counter(skip["reason"] for skip in whole_crawl.skips))


def test_what_is_not_of_the_shop_is_skipped_with_its_reason(whole_crawl: Finished, whole_shop: Shop) -> None:
    """Links of others are named once, and never requested."""
    reasons = {skip["url"]: skip["reason"] for skip in whole_crawl.skips}
    for url in whole_shop.oracle.external:
        assert reasons[url] == "out_of_scope"
    assert "scheme" in reasons.values()


def test_a_record_has_the_fields_of_the_contract_in_order(whole_crawl: Finished) -> None:
    """Scripts rely on the names."""
    record = whole_crawl.records[0]
    assert list(record) == [column.name for column in COLUMNS]
    assert (record["rendered_by"], record["revision"], record["schema"]) == ("browser", 0, RECORD_SCHEMA)
    assert set(record["timings_ms"]) == {"lease", "navigate", "settle", "extract", "total"}
    assert record["bytes_received"] > 0
    assert record["html"].lower().startswith("<!doctype html>")


def test_depths_and_referrers_are_those_of_the_way_the_crawl_took(
    whole_crawl: Finished, whole_shop: Shop
) -> None:
    """A page's depth is one more than its referrer's; the seed has neither."""
    depths = {record["url"]: record["depth"] for record in whole_crawl.records}
    for record in whole_crawl.records:
        if record["url"] == whole_shop.url:
            assert (record["depth"], record["referrer"]) == (0, None)
        else:
            assert record["depth"] == depths[record["referrer"]] + 1


def test_the_shop_is_crawled_over_https_with_its_own_authority(out: Path) -> None:
    """The same through CONNECT and TLS, trusted by --ca-file alone."""
    with serve_shop_in_thread(tls=True) as shop:
        finished = crawl(out, shop.url, contexts="4", ca_file=str(shop.ca_file)).finish()
        assert_complete(finished, shop.oracle)


@pytest.mark.parametrize("flaw", Flaw)
def test_a_certificate_that_nobody_vouches_for_is_dead_as_tls(out: Path, flaw: Flaw) -> None:
    """Expired, of another host, signed by itself; and a good one, of an authority that nobody has named."""
    with serve_shop_in_thread(tls=flaw) as shop:
        trusted = {} if flaw is Flaw.NONE else {"ca_file": str(shop.ca_file)}
        finished = crawl(out, shop.url, **trusted, scope="page", retries="0").finish()
    assert finished.code == 8
    assert finished.records == []
    assert finished.summary["dead"] == {"tls": 1}


def test_any_certificate_will_do_where_the_user_says_so(out: Path) -> None:
    """With a warning."""
    with serve_shop_in_thread(tls=Flaw.SELF_SIGNED) as shop:
        finished = start(
            *("run", shop.url, "--insecure", "--scope", "page", "--output", str(out), "--live", "off"),
            *("--allow-network", "127.0.0.0/8", "--contexts", "1", "--ramp-up", "0s"),
            folder=out,
        ).finish()
    assert finished.code == 0, finished.output
    assert [record["status"] for record in finished.records] == [200]
    assert "Certificates are not checked" in finished.output

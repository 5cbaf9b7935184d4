"""Politeness as the server sees it: every arrival is in its journal."""

import json
from pathlib import Path

import pytest

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import crawl, start, until
from tests.e2e.redis_server import RedisServer
from tests.egress.farm_of_proxies import SmallProxy, proxies_in_thread

HEARD_S = 0.5
"""In which an answer has reached its browser, its farm and Redis, on a machine with much else to do."""


def most_in_a_second(times: list[float]) -> int:
    """Return the most arrivals that any second saw."""
    return max(sum(first <= at < first + 1 for at in times) for first in times)


def bound_by(out: Path) -> set[str]:
    """Ask `farm status` what holds the nodes back."""
    told = start("status", "--output", str(out), "--json", folder=out).finish()
    if told.code != 0:
        return set()
    flow = json.loads(told.output)["flow"]
    assert flow["under_way"] >= 0
    return {node["bound_by"] for node in flow["nodes"].values()}


@pytest.mark.slow
def test_three_nodes_keep_one_rate_and_one_number_in_flight(redis: RedisServer, tmp_path: Path) -> None:
    """Five a second and four at once, by the server's journal."""
    with serve_shop_in_thread(latency_ms=300) as shop:
        flags = {"redis": redis.url, "crawl": "shared", "rate": "5/s", "site_concurrency": "4"}
        nodes = [crawl(tmp_path / str(number), shop.url, **flags) for number in range(3)]
        ended = [node.finish(timeout_s=150) for node in nodes]
        assert [node.code for node in ended] == [0, 0, 0]
        assert sum(len(node.records) for node in ended) == len(shop.oracle.urls)
        assert shop.requests.peak_in_flight() <= 4
        times = [visit.at for visit in shop.requests.pages()]
    # The start included, in which the contexts take their time.
    assert most_in_a_second(times) <= 5 + 1


@pytest.mark.slow
def test_a_hidden_rate_is_respected(out: Path) -> None:
    """The shop refuses beyond three in two seconds: few pages meet with that, and all are visited."""
    with serve_shop_in_thread(pages_per_s=1.5, retry_after_s=1) as shop:
        finished = crawl(out, shop.url, contexts="6").finish(timeout_s=150)
        pages = shop.requests.pages()
        begun = pages[0].at
        late = [visit for visit in pages if visit.at > begun + 15]
        assert sum(visit.status == 429 for visit in late) <= max(3, len(late) * 0.05)
        assert len(finished.records) == len(shop.oracle.urls)
    site = shop.url.split("/")[2]
    assert finished.summary["throttled"][site] == sum(visit.status == 429 for visit in pages)


@pytest.mark.slow
def test_a_retry_after_is_kept_by_every_node(redis: RedisServer, tmp_path: Path) -> None:
    """For so long no page is requested, beyond what is on its way while the refusal is heard of."""
    with serve_shop_in_thread(too_many_every=8, retry_after_s=3) as shop:
        flags = {"redis": redis.url, "crawl": "shared", "depth": "1"}
        nodes = [crawl(tmp_path / str(number), shop.url, **flags) for number in range(2)]
        assert {node.finish(timeout_s=150).code for node in nodes} == {0}
        pages = shop.requests.pages()
    refused = [visit for visit in pages if visit.status == 429]
    assert refused
    for one in refused:
        ended = one.ended_at or one.at
        assert [later.at - ended for later in pages if ended + HEARD_S < later.at < ended + 2.9] == []


@pytest.mark.slow
def test_a_retry_after_pauses_the_address_that_met_it(out: Path, tmp_path: Path) -> None:
    """By ten proxies, each an address of its own: one waits, the others go on."""
    proxies = [SmallProxy(source=f"127.0.0.{10 + number}") for number in range(10)]
    with serve_shop_in_thread(too_many_every=20, retry_after_s=3) as shop, proxies_in_thread(*proxies):
        file = tmp_path / "proxies.txt"
        file.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
        finished = crawl(out, shop.url, contexts="10", proxies=str(file)).finish(timeout_s=150)
        pages = shop.requests.pages()
    assert sorted(finished.urls) == sorted(shop.oracle.urls)
    refused = [visit for visit in pages if visit.status == 429]
    assert refused
    for one in refused:
        ended = one.ended_at or one.at
        by = [later.peer for later in pages if ended + HEARD_S < later.at < ended + 2.9]
        assert one.peer not in by
        # The crawl may end within the three seconds.
        assert by or ended > pages[-1].at - 2


@pytest.mark.slow
def test_every_proxy_keeps_its_rate(out: Path, tmp_path: Path) -> None:
    """Two proxies of two visits a second each, over all their sites; no more contexts work than that can use."""
    proxies = [SmallProxy(source=f"127.0.0.{10 + number}") for number in range(2)]
    with serve_shop_in_thread() as shop, proxies_in_thread(*proxies):
        file = tmp_path / "proxies.txt"
        file.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
        flags = {"proxies": str(file), "proxy_rate": "2/s", "contexts": "8", "limit": "40"}
        running = crawl(out, shop.url, **flags)
        until(lambda: "proxies" in bound_by(out), "a node that says what binds it")
        finished = running.finish(timeout_s=150)
        pages = shop.requests.pages()
    assert finished.code == 5, finished.output
    for proxy in proxies:
        times = [visit.at for visit in pages if visit.peer == proxy.source]
        assert len(times) >= 8
        assert most_in_a_second(times) <= 2 + 1


@pytest.mark.slow
def test_a_rate_is_kept_within_tls(out: Path) -> None:
    """The slot proxy sees a tunnel and no request; contexts keep theirs from page to page."""
    with serve_shop_in_thread(tls=True) as shop:
        flags = {"rate": "4/s", "contexts": "4", "limit": "40", "ca_file": str(shop.ca_file)}
        finished = crawl(out, shop.url, **flags).finish(timeout_s=150)
        times = [visit.at for visit in shop.requests.pages()]
    assert len(finished.records) == 40
    assert most_in_a_second(times) <= 4 + 1

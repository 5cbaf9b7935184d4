"""Crawls by proxies that are programs of their own, each with its own address, as a site sees them."""

import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures.proxies import RealProxy, real_proxies
from fixtures.shop import Kind, Shop, serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, logged, until
from tests.e2e.test_shop import assert_complete

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only there loopback has addresses for everybody"),
]
LOGIN = "somebody:hunter2"
COOLDOWN_S = 2
HERE = ("--allow-network", "::1/128")
"""What `localhost` means besides 127.0.0.1."""


def path_of(url: str) -> str:
    """Return path and query, as the shop's journal has them."""
    return "/" + url.split("/", 3)[3]


def listed(proxies: list[RealProxy], folder: Path) -> str:
    """Write a proxies file and return its name."""
    path = folder / "proxies.txt"
    path.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
    return str(path)


def assert_each_page_came_by_its_proxy(finished: Finished, shop: Shop, proxies: list[RealProxy]) -> None:
    """Compare what records say with what the site saw: of each page, and of all that the page requested."""
    sources = {proxy.label: proxy.source for proxy in proxies}
    expected = {
        path_of(record["url"]): sources[record["proxy"]]
        for record in finished.records
        if record["url"].startswith(shop.url)
    }
    assert expected
    assert {visit.peer for visit in shop.requests.all()} <= set(sources.values()), "nothing goes direct"
    for visit in shop.requests.all():
        if visit.kind is Kind.PAGE:
            assert visit.peer == expected[visit.path], visit
        elif visit.kind is not Kind.META:
            page = path_of(visit.headers["Referer"])
            assert visit.peer == expected.get(page, visit.peer), visit


def test_forty_contexts_go_out_by_ten_proxies_each_by_its_own(out: Path, tmp_path: Path) -> None:
    """With credentials, at five sites: the proxies' logs, what the sites saw and what the records say agree."""
    with (
        real_proxies(10, tmp_path, LOGIN) as proxies,
        ExitStack() as street,
    ):
        shops = [
            street.enter_context(serve_shop_in_thread(name="localhost", latency_ms=2000)) for _ in range(5)
        ]
        finished = crawl(
            out,
            *(shop.url for shop in shops),
            *HERE,
            contexts="40",
            depth="2",
            proxies=listed(proxies, tmp_path),
        ).finish(170)
        assert finished.code == 0, finished.output
        assert finished.summary["dead"] == {}
        for shop in shops:
            assert_each_page_came_by_its_proxy(finished, shop, proxies)
        ports = {shop.port for shop in shops}
        for proxy in proxies:
            asked = {(one["method"], one["host"], one["authorized"]) for one in proxy.log}
            assert asked == {("CONNECT", "localhost", True)}
            assert {one["port"] for one in proxy.log} <= ports
    contexts = defaultdict(set)
    for record in finished.records:
        contexts[record["context"]].add(record["proxy"])
    assert len(contexts) > 30
    assert {len(used) for used in contexts.values()} == {1}, "a context stays with its proxy"
    assert {proxy for used in contexts.values() for proxy in used} == {proxy.label for proxy in proxies}


def test_by_page_each_visit_comes_from_another_address(out: Path, tmp_path: Path) -> None:
    """One context, three proxies: never the same twice in a row."""
    with real_proxies(3, tmp_path) as proxies, serve_shop_in_thread(name="localhost") as shop:
        finished = crawl(
            out,
            shop.url,
            *HERE,
            contexts="1",
            proxies=listed(proxies, tmp_path),
            proxy_rotation="page",
            limit="9",
        ).finish()
        assert finished.code == 5, finished.output
        assert_each_page_came_by_its_proxy(finished, shop, proxies)
        peers = [visit.peer for visit in shop.requests.pages()]
    assert len(peers) == 9
    assert all(peers[at] != peers[at + 1] for at in range(8))
    assert len(set(peers)) == 3


def test_by_site_each_site_knows_one_address(out: Path, tmp_path: Path) -> None:
    """Three sites, three contexts, five proxies; also for robots.txt."""
    with (
        real_proxies(5, tmp_path) as proxies,
        serve_shop_in_thread(name="localhost") as one,
        serve_shop_in_thread(name="localhost") as two,
        serve_shop_in_thread(name="localhost") as three,
    ):
        shops = (one, two, three)
        finished = crawl(
            out,
            *(shop.url for shop in shops),
            *HERE,
            contexts="3",
            proxies=listed(proxies, tmp_path),
            proxy_rotation="site",
            depth="1",
        ).finish(120)
        assert finished.code == 0, finished.output
        for shop in shops:
            assert len(shop.requests.pages()) > 5
            assert len({visit.peer for visit in shop.requests.all()}) == 1
            assert shop.requests.all()[0].peer in {proxy.source for proxy in proxies}


def left(log: str, label: str) -> list[str]:
    """Return the lines of a log in which a proxy, or a proxy for a site, goes out."""
    return [line for line in log.splitlines() if f"proxy {label} is banned" in line]


def test_three_of_ten_die_and_one_is_shown_captchas(out: Path, tmp_path: Path) -> None:
    """All pages come at their first attempt; the four are soon left, and tried again when their time is over.

    Two of the dead come back. The one that stays dead, and the one that is still shown captchas, are tried and
    left again, for longer.
    """
    with (
        real_proxies(10, tmp_path) as proxies,
        serve_shop_in_thread(name="localhost", latency_ms=3000, captcha_peers=(proxies[9].source,)) as shop,
    ):
        running = crawl(
            out,
            shop.url,
            *HERE,
            contexts="10",
            proxies=listed(proxies, tmp_path),
            proxy_cooldown=f"{COOLDOWN_S}s",
            log_level="debug",
        )
        dying, blocked = proxies[:3], proxies[9]
        # Only a proxy that a context has is missed, and what is missed late has no pages left to come back for.
        until(lambda: {p.source for p in dying} <= {v.peer for v in shop.requests.pages()}, "pages by each")
        for proxy in dying:
            proxy.kill()
        until(lambda: all(left(logged(out), proxy.label) for proxy in dying[:2]), "the two being out")
        for proxy in dying[:2]:
            proxy.spawn()
        finished = running.finish(180)
        assert_complete(finished, shop.oracle)
    log = logged(out)
    assert {record["attempt"] for record in finished.records} == {1}
    assert {record["blocked_by"] for record in finished.records} == {None}
    assert (finished.summary["dead"], finished.summary["throttled"]) == ({}, {})
    for proxy in dying:
        before = log.partition(f"proxy {proxy.label} is banned for {COOLDOWN_S} s")[0]
        assert before.count(f"released: proxy: {proxy.label}") <= 5
    for proxy in dying[:2]:
        assert f"proxy {proxy.label} works again" in log
    assert len(left(log, dying[2].label)) > 1
    shown = [visit for visit in shop.requests.pages() if visit.peer == blocked.source]
    out_there = [line for line in left(log, blocked.label) if f"for localhost:{shop.port}" in line]
    assert len(out_there) > 1, "tried again, and left again"
    assert len(shown) <= 5 * len(out_there)

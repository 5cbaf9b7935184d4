"""A budget of bytes for proxies that are paid for, by a farm of its own processes."""

import json
import re
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, farm, seen_pages, until
from tests.e2e.redis_server import RedisServer
from tests.e2e.test_proxies import write
from tests.egress.farm_of_proxies import SmallProxy, proxies_in_thread


def used(out: Path, *more: str) -> dict[str, int]:
    """Return what `farm status` says of the bytes by proxies."""
    told = farm("status", "--output", str(out), *more, "--json", folder=out)
    assert told.code == 0, told.output
    found: dict[str, int] = json.loads(told.output)["proxy_bytes"]
    return found


def test_a_run_ends_when_its_proxies_have_carried_the_budget(shop: Shop, out: Path, tmp_path: Path) -> None:
    """With 5 and work left; run again nothing is fetched, and a greater budget goes on until it is spent too."""
    proxy = SmallProxy()
    with proxies_in_thread(proxy):
        file = write(tmp_path / "proxies.txt", proxy)
        first = crawl(out, shop.url, proxies=file, proxy_bytes="200KiB", rate="4/s").finish()
        assert first.code == 5, first.output
        assert "--proxy-bytes: " in first.output
        assert "stopped by --proxy-bytes after" in first.output
        assert first.summary["exit_reason"] == "proxy_bytes"
        spent = first.summary["proxy_bytes"]
        assert spent["budget"] == 200 * 1024 <= spent["used"]
        assert used(out) == spent
        shown = farm("status", "--output", str(out), folder=out).output
        assert re.search(r"by proxies +│ +[\d.]+ KiB of 200 KiB", shown), shown
        seen, tunnels = len(shop.requests), len(proxy.asked)
        again = crawl(out).finish()
        assert again.code == 5, again.output
        assert "stopped by --proxy-bytes" in again.output
        assert (len(shop.requests), len(proxy.asked)) == (seen, tunnels), "nothing was fetched"
        assert used(out) == spent
        more = crawl(out, proxy_bytes=f"{spent['used'] // 1024 + 40}KiB").finish()
        assert more.code == 5, more.output
        assert len(shop.requests) > seen
        assert used(out)["used"] >= used(out)["budget"] > spent["used"]
        without = crawl(out, proxy_bytes="none", limit=str(len(more.records) + 2)).finish()
        assert "stopped by --limit" in without.output
        assert used(out)["budget"] == 0
    # What is counted is what the shop and the farm exchanged, and the proxy's handshakes.
    assert used(out)["used"] > sum(record["bytes_received"] for record in without.records)


def test_every_node_ends_at_the_crawls_budget(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """Two nodes that gave none, each by its own proxy, and a third that gives one: what was before counts."""
    proxies = [SmallProxy(), SmallProxy()]
    folders = [tmp_path / name for name in ("one", "two", "three")]
    flags = {"redis": redis.url, "crawl": "shared", "rate": "2/s"}
    with proxies_in_thread(*proxies):
        files = [write(tmp_path / f"{proxy.port}.txt", proxy) for proxy in proxies]
        first = crawl(folders[0], shop.url, proxies=files[0], **flags)
        seen_pages(shop, 1)
        second = crawl(folders[1], proxies=files[1], **flags)
        until(lambda: all(proxy.asked for proxy in proxies), "a page by each proxy")
        third = crawl(folders[2], proxies=files[0], proxy_bytes="1KiB", **flags)
        ended = [node.finish(90) for node in (first, second, third)]
    assert [node.code for node in ended] == [5, 5, 5], [node.output for node in ended]
    assert all("stopped by --proxy-bytes" in node.output for node in ended)
    where = ("--redis", redis.url, "--crawl", "shared")
    assert used(folders[1], *where)["used"] > 1024 == used(folders[0], *where)["budget"]


@pytest.mark.parametrize("value", ["1GiB", "50%"])
def test_a_budget_needs_proxies_and_a_size(shop: Shop, out: Path, value: str) -> None:
    """In one sentence, before anything is created."""
    finished = crawl(out, shop.url, proxy_bytes=value).finish()
    assert finished.code == 2
    assert ("give --proxies FILE" if value == "1GiB" else "write a size such as") in finished.output
    assert finished.output.count("\n") == 1
    assert not out.exists()

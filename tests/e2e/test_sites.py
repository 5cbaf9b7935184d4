"""What a user knows of single sites, from `farm.toml` to the sites' journals."""

import json
from pathlib import Path

from fixtures.shop import Shop, serve_shop_in_thread
from fixtures.shop.journal import Kind
from tests.e2e.farm_process import crawl, seen_pages
from tests.e2e.redis_server import RedisServer
from tests.e2e.test_throttle import most_in_a_second

SECRET = "open-sesame"


def site_of(shop: Shop) -> str:
    """Return a shop's name as a table has it."""
    return f"127.0.0.1:{shop.port}"


def test_each_site_is_visited_as_its_table_says(out: Path) -> None:
    """Waited for, blocked and asked with headers by its own rules; the other one as the flags say."""
    with serve_shop_in_thread() as one, serve_shop_in_thread() as other:
        (out.parent / "farm.toml").write_text(f"""
            [site."{site_of(one)}"]
            block = "none"
            headers = ["X-Token: {SECRET}"]
            [[site."{site_of(one)}".page]]
            match = "/faults/late/*"
            wait = "css:html[data-late]"
            [[site."{site_of(one)}".page]]
            match = "/c/*"
            wait = "settle"
        """)
        shelf = next(url for url in one.oracle.urls if "/c/" in url).removeprefix(one.url)
        paths = ("faults/late/900", "faults/headers", shelf)
        seeds = [shop.at(path) for shop in (one, other) for path in paths]
        finished = crawl(out, *seeds, "--scope", "page", wait="domcontentloaded", contexts="3").finish()
        assert finished.code == 0, finished.output
        pages = {record["url"]: record for record in finished.records}
        assert set(pages) == set(seeds)
        late = [("It came late" in pages[shop.at(paths[0])]["text"]) for shop in (one, other)]
        assert late == [True, False]
        seen = [SECRET in pages[shop.at(paths[1])]["text"] for shop in (one, other)]
        assert seen == [True, False]
        tokens = [{visit.headers.get("X-Token") for visit in shop.requests.pages()} for shop in (one, other)]
        assert tokens == [{SECRET}, {None}]
        images = [
            any(visit.path.startswith("/images/") for visit in shop.requests.all(Kind.ASSET))
            for shop in (one, other)
        ]
        assert images == [True, False]
    table = finished.summary["settings"]["site"][site_of(one)]
    assert (table["headers"], table["block"]) == (["X-Token: ***"], [])
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "pages.jsonl"]
    left = {path.name: path.read_bytes() for path in files}
    assert [name for name, content in left.items() if SECRET.encode() in content] == []
    assert SECRET not in finished.output


def test_no_more_contexts_are_opened_than_a_sites_own_rate_keeps_busy(shop: Shop, out: Path) -> None:
    """As with --rate: the others would only wait."""
    (out.parent / "farm.toml").write_text(f'[site."{site_of(shop)}"]\nrate = "2/s"\n')
    flags = {"contexts": "40", "ramp_up": "10s", "limit": "16", "log_level": "debug"}
    finished = crawl(out, shop.url, **flags).finish()
    assert finished.code == 5, finished.output
    assert "contexts may work, by rate" in finished.output
    assert len({record["context"] for record in finished.records}) < 40


def test_every_node_keeps_a_sites_own_rate(redis: RedisServer, tmp_path: Path) -> None:
    """Also one that joins without the table; and one that has another is refused with the difference."""
    folders = [tmp_path / name / "out" for name in ("one", "two", "three")]
    for folder in folders:
        folder.parent.mkdir()
    with serve_shop_in_thread(latency_ms=200) as shop:
        table = f'[site."{site_of(shop)}"]\nrate = "%s"\nconcurrency = 2\n'
        (folders[0].parent / "farm.toml").write_text(table % "4/s")
        (folders[2].parent / "farm.toml").write_text(table % "5/s")
        flags = {
            "redis": redis.url,
            "crawl": "shared",
            "rate": "100/s",
            "site_concurrency": "50",
            "depth": "1",
        }
        first = crawl(folders[0], shop.url, **flags)
        seen_pages(shop, 1)
        second = crawl(folders[1], **flags)
        third = crawl(folders[2], **flags).finish()
        assert third.code == 2
        assert f'site."{site_of(shop)}".rate = "4/s" (here "5/s")' in third.output
        ended = [first.finish(90), second.finish(90)]
        assert [node.code for node in ended] == [0, 0], [node.output for node in ended]
        assert {url for node in ended for url in node.urls} == shop.oracle.within(1)
        times = [visit.at for visit in shop.requests.pages()]
        assert len(times) > 10
        assert most_in_a_second(times) <= 4 + 1
        assert shop.requests.peak_in_flight() <= 2
    shown = json.loads((folders[1] / "summary.json").read_text())["settings"]["site"]
    assert shown[site_of(shop)]["rate"] == "4/s"

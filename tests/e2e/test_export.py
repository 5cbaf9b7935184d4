"""What two nodes of a crawl have stored becomes one data set, in other formats."""

import csv
import json
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, farm, read_lines
from tests.e2e.redis_server import RedisServer


def test_folders_of_two_nodes_become_one_data_set(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """Every page once, as CSV, as links and as an archive, also of what the second node found in its own sinks."""
    one, two, sinks = tmp_path / "one", tmp_path / "two", ("--sink", "warc:warcs")
    shared = {"redis": redis.url, "crawl": "shared"}
    first = crawl(one, shop.url, *sinks, "--sink", "jsonl", depth="1", limit="5", node="a", **shared).finish()
    second = crawl(two, *sinks, "--sink", "sqlite:///two.db", node="b", **shared).finish()
    assert (first.code, second.code) == (5, 0), first.output + second.output

    def export(*arguments: str) -> None:
        done = farm("export", "one", "two", *arguments, folder=one)
        assert done.code == 0, done.output

    export("--to", "jsonl:all.jsonl")
    records = read_lines(tmp_path / "all.jsonl")
    assert Counter(record["url"] for record in records) == dict.fromkeys(shop.oracle.within(1), 1)
    assert {record["node"] for record in records} == {"a", "b"}
    export("--to", "csv:ok.csv", "--status", "200", "--columns", "url,title")
    with (tmp_path / "ok.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert rows == [{"url": one["url"], "title": one["title"]} for one in records if one["status"] == 200]
    export("--to", "links:links.jsonl")
    edges = [(edge["source"], edge["target"]) for edge in read_lines(tmp_path / "links.jsonl")]
    assert edges == [(record["url"], link["url"]) for record in records for link in record["links"]]
    export("--to", "wacz:shop.wacz")
    with ZipFile(tmp_path / "shop.wacz") as archive:
        pages = [json.loads(line) for line in archive.read("pages/pages.jsonl").splitlines()[1:]]
        warcs = {name for name in archive.namelist() if name.startswith("archive/")}
    assert [page["id"] for page in pages] == [record["id"] for record in records]
    assert len(warcs) == 2

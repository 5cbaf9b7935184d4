"""Crawls into an S3, through kills, outages and refusals, and by two nodes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.e2e.farm_process import Finished, Running, crawl, seen_pages
from tests.e2e.redis_server import RedisServer
from tests.sinks.object_records import KINDS, named
from tests.sinks.object_records import ids as ids_of
from tests.sinks.object_server import BUCKET, ENVIRONMENT, SECRET, Front, ObjectServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Start a server for the tests of this file."""
    started = ObjectServer(tmp_path_factory.mktemp("moto"))
    yield started
    started.remove()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the keys in the environment of the farms."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def sinks(*names: str) -> list[str]:
    """Return the flags."""
    return [part for name in names for part in ("--sink", name)]


def secret_is_nowhere(finished: Finished) -> bool:
    """Return whether neither the output nor a file of it has the secret key."""
    files = [path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()]
    return SECRET not in finished.output and not any(SECRET.encode() in content for content in files)


def test_a_crawl_that_is_killed_twice_has_every_page_once_in_each_object_store(
    server: ObjectServer, shop: Shop, out: Path, tmp_path: Path
) -> None:
    """SIGKILL at a third and at two thirds; later runs go on with the sinks of the first."""
    names = [named(kind, server.endpoint, f"killed/{kind}") for kind in KINDS]
    pages = len(shop.oracle.urls)
    for number, part in enumerate((pages // 3, 2 * pages // 3)):
        running = crawl(out, shop.url, *(sinks("jsonl", *names) if number == 0 else ()), contexts="4")
        seen_pages(shop, part)
        running.kill()
    finished = crawl(out, shop.url, contexts="4").finish()
    assert finished.code == 0, finished.output
    assert set(finished.urls) == shop.oracle.urls
    everything = Counter(record["id"] for record in finished.records)
    assert set(everything.values()) == {1}
    for kind in KINDS:
        objects = server.objects(f"killed/{kind}/")
        assert Counter(ids_of(objects, tmp_path)) == everything, kind
        assert not [name for name in objects if name.startswith(".")]
    assert finished.summary["sinks"].keys() >= {*names}
    assert secret_is_nowhere(finished)


def test_two_nodes_write_one_data_set(
    server: ObjectServer, shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """One prefix, objects of two names, a row a page."""
    name = named("parquet", server.endpoint, "nodes")
    shop.hold()
    nodes: list[Running] = []
    for number in (1, 2):
        seeds = [shop.url, shop.at("/about")] if number == 1 else []
        nodes.append(
            crawl(
                tmp_path / f"out{number}",
                *seeds,
                *sinks(name),
                redis=redis.url,
                crawl="shared",
                node=f"n{number}",
                depth="1",
                contexts="1",
            )
        )
        # Each has one page at least.
        seen_pages(shop, number)
    shop.release()
    finished = [node.finish(timeout_s=90) for node in nodes]
    assert [one.code for one in finished] == [0, 0], finished[0].output + finished[1].output
    objects = server.objects("nodes/")
    assert {one.split("-")[1] for one in objects} == {"n1", "n2"}
    counts = Counter(ids_of(objects, tmp_path))
    assert set(counts.values()) == {1}
    assert len(counts) == len(shop.oracle.within(1)) == finished[1].summary["ledger"]["done"]


@pytest.mark.parametrize(("bucket", "key"), [("no-such-bucket", "x"), (BUCKET, "")])
def test_an_object_store_that_refuses_is_one_sentence_before_any_page(
    server: ObjectServer, shop: Shop, out: Path, monkeypatch: pytest.MonkeyPatch, bucket: str, key: str
) -> None:
    """Exit 2, and nothing was fetched."""
    if not key:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    name = f"jsonl:s3://{bucket}/x?endpoint_url={server.endpoint}"
    refused = crawl(out, shop.url, *sinks(name)).finish()
    assert refused.code == 2, refused.output
    last = refused.output.splitlines()[-1]
    assert last.startswith(f"farm: {name} cannot be written to (")
    assert last.endswith(
        "check the address, and that the bucket exists." if key else "credentials and rights."
    )
    assert secret_is_nowhere(refused)
    assert shop.requests.pages() == []


def test_what_could_not_be_uploaded_at_the_end_is_uploaded_by_the_next_run(
    server: ObjectServer, shop: Shop, out: Path, tmp_path: Path
) -> None:
    """Exit 6 with the place of the records, though the crawl is finished; then 0."""
    front = Front(server.port)
    try:
        name = named("jsonl", front.endpoint, "late")
        shop.hold()
        running = crawl(out, shop.url, *sinks(name), depth="0")
        seen_pages(shop, 1)
        front.fault = "403"
        shop.release()
        late = running.finish(timeout_s=90)
        assert late.code == 6, late.output
        assert "cannot be written to (Access Denied); " in late.output.splitlines()[-1]
        assert "; the last records are in " in late.output.splitlines()[-1]
        assert server.objects("late/") == {}
        front.fault = ""
        finished = crawl(out, shop.url, depth="0").finish()
        assert finished.code == 0, finished.output
        assert len(ids_of(server.objects("late/"), tmp_path)) == finished.summary["ledger"]["done"] == 1
    finally:
        front.remove()

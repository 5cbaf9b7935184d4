"""Several nodes on one Redis, its outages, and the commands that look at a crawl and steer it from outside."""

import json
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from redis import from_url

from farm.frontier.shards import decode_counters
from fixtures.ports import free_port
from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Finished, Running, crawl, farm, log_says, seen_pages, until
from tests.e2e.redis_server import RedisServer


@pytest.mark.slow
def test_two_nodes_share_a_crawl_and_a_killed_ones_pages_come_back(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """One is killed in the middle; the other ends the crawl, and no page stands twice in one folder."""
    one, two = tmp_path / "one", tmp_path / "two"
    doomed = crawl(one, shop.url, redis=redis.url, crawl="shared", depth="1")
    seen_pages(shop, 4)
    survivor = crawl(two, redis=redis.url, crawl="shared")
    seen_pages(shop, 8)
    doomed.kill()
    finished = survivor.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    ledger = finished.summary["ledger"]
    assert ledger["done"] == ledger["accepted"] == len(shop.oracle.within(1))
    both = Finished(0, "", one).urls + finished.urls
    assert set(both) == shop.oracle.within(1)
    assert max(Counter(finished.urls).values()) == 1


def test_an_outage_of_redis_is_waited_for(shop: Shop, redis: RedisServer, out: Path) -> None:
    """Killed and started again: the log says so, the crawl goes on, and every page is there once."""
    running = crawl(out, shop.url, redis=redis.url, depth="1")
    seen_pages(shop, 5)
    redis.kill()
    log_says(out, "leasing is paused")
    redis.start()
    finished = running.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    assert "Redis is back after" in finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)


def test_a_redis_that_stays_away_ends_the_run_with_3_and_nothing_lost(
    shop: Shop, redis: RedisServer, out: Path
) -> None:
    """After the patience; with Redis back, the next run does the rest."""
    running = crawl(out, shop.url, redis=redis.url, depth="1", redis_patience="2s")
    seen_pages(shop, 5)
    redis.kill()
    ended = running.finish(timeout_s=60)
    assert ended.code == 3, ended.output
    assert "Traceback" not in ended.output
    redis.start()
    finished = crawl(out, redis=redis.url).finish(timeout_s=90)
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)


def test_the_numbers_of_a_running_crawl_are_seen_from_outside(shop: Shop, out: Path) -> None:
    """By its output folder, while it runs and afterwards."""
    shop.hold()
    running = crawl(out, shop.url, depth="0")
    seen_pages(shop, 1)
    during = json.loads(farm("status", "--json", "--output", str(out), folder=out).output)
    assert during["ledger"]["leased"] == 1
    shop.release()
    assert running.finish().code == 0
    after = farm("status", "--output", str(out), folder=out)
    assert after.code == 0, after.output
    assert "done" in after.output
    audited = farm("doctor", "--audit", "--output", str(out), folder=out)
    assert audited.code == 0, audited.output
    assert "holds every invariant" in audited.output


def test_a_crawl_is_paused_resumed_and_stopped_from_outside(shop: Shop, out: Path) -> None:
    """Stopped with work left is 5."""
    running = crawl(out, shop.url, contexts="1")
    seen_pages(shop, 3)
    # While the commands start, the crawl is not to come to its end.
    shop.hold()
    assert farm("pause", "--output", str(out), folder=out).output == "crawl default: paused\n"
    paused = json.loads(farm("status", "--json", "--output", str(out), folder=out).output)
    assert paused["state"] == "paused"
    asked = len(shop.requests.pages())
    assert farm("resume", "--output", str(out), folder=out).code == 0
    shop.release()
    seen_pages(shop, asked + 2)
    shop.hold()
    assert farm("stop", "--output", str(out), folder=out).code == 0
    shop.release()
    stopped = running.finish()
    assert stopped.code == 5, stopped.output
    assert stopped.summary["exit_reason"] == "stopped"
    assert stopped.summary["ledger"]["leased"] == 0


def test_dead_letters_are_listed_shown_replayed_and_dropped(out: Path) -> None:
    """A page that is repaired is visited again."""
    port = free_port()
    with serve_shop_in_thread(error_every=1, port=port) as broken:
        url = broken.url
        assert crawl(out, url, broken.at("/about"), scope="page", retries="0").finish().code == 8
    output = ("--output", str(out))
    [first, second] = [
        json.loads(line) for line in farm("dead", "list", "--json", *output, folder=out).output.splitlines()
    ]
    assert {first["reason"], second["reason"]} == {"http_5xx"}
    assert first["task"]["url"] in farm("dead", "show", first["id"], *output, folder=out).output
    assert farm("dead", "drop", second["id"], *output, folder=out).output == "1 dropped\n"
    assert farm("dead", "replay", "--reason", "http_5xx", *output, folder=out).output == "1 replayed\n"
    unknown = farm("dead", "replay", "0" * 16, *output, folder=out)
    assert unknown.code == 0
    assert unknown.output.splitlines() == ["0 replayed", "farm: 1 of these ids is not dead, or not any more."]
    with serve_shop_in_thread(port=port):
        finished = crawl(out).finish()
    assert finished.code == 0, finished.output
    assert finished.urls == [first["task"]["url"]]


def test_seeds_are_added_to_a_crawl_that_is_over(shop: Shop, out: Path) -> None:
    """And visited by the next run."""
    assert crawl(out, shop.url, scope="page").finish().code == 0
    added = farm("add", shop.at("/about"), shop.url, "--output", str(out), folder=out)
    said = f"farm: no node is at work on the crawl; `farm run --output {out}` starts one."
    assert added.output.splitlines() == ["1 added, 1 known already", said]
    finished = crawl(out).finish()
    assert finished.code == 0, finished.output
    assert set(finished.urls) == {shop.url, shop.at("/about")}


def test_a_drain_of_one_node_does_not_end_the_other(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """Nodes come and go."""
    one, two = tmp_path / "one", tmp_path / "two"
    leaving = crawl(one, shop.url, redis=redis.url, depth="1")
    seen_pages(shop, 3)
    staying = crawl(two, redis=redis.url)
    leaving.signal(signal.SIGTERM)
    left = leaving.finish()
    assert left.code == 143
    finished = staying.finish()
    assert finished.code == 0, finished.output
    for run in (left, finished):
        # The ledger is the crawl's; what a node wrote itself is told beside it.
        written = len(run.records)
        assert run.summary["written"] == written
        assert f"{written} {'page' if written == 1 else 'pages'} recorded" in run.output
    assert left.summary["node"] != finished.summary["node"]
    assert finished.summary["ledger"]["done"] > finished.summary["written"]
    assert set(Finished(0, "", one).urls + finished.urls) == shop.oracle.within(1)


def test_a_crawl_that_is_started_anew_under_a_running_node_is_crawled_once(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """The node of the old crawl is told in a sentence and ends; nothing of it gets into the new one."""
    old = crawl(tmp_path / "old", shop.url, redis=redis.url, depth="1")
    seen_pages(shop, 4)
    shop.hold()
    new = crawl(tmp_path / "new", shop.url, "--fresh", redis=redis.url, depth="1")
    ended = old.finish(timeout_s=60)
    assert ended.code == 2, ended.output
    assert "it was deleted or started anew" in ended.output
    assert "Traceback" not in ended.output
    assert ended.summary["exit_reason"] == "crawl_gone"
    shop.release()
    finished = new.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    assert finished.summary["ledger"]["accepted"] == len(shop.oracle.within(1))
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)


def test_three_kills_of_a_node_lose_nothing(shop: Shop, redis: RedisServer, out: Path) -> None:
    """What was in flight each time is visited in the end, and everything below it.

    At the third kill a page is leased alone, which is the first of its lives.
    """
    shop.hold()
    for _ in range(3):
        before = len(shop.requests.pages())
        doomed = crawl(out, shop.url, shop.at("/about"), redis=redis.url, contexts="4", depth="1")
        seen_pages(shop, before + 1)
        doomed.kill()
    shop.release()
    finished = crawl(out, redis=redis.url, contexts="4").finish(timeout_s=120)
    assert finished.code == 0, finished.output
    assert finished.summary["dead"] == {}
    assert set(finished.urls) >= shop.oracle.within(1)


@pytest.mark.slow
def test_a_page_that_kills_its_node_is_given_up_and_nothing_else_is(redis: RedisServer, out: Path) -> None:
    """In a crash loop: the node is killed whenever it asks for the page."""
    with serve_shop_in_thread(hang_paths=("/about",)) as shop:

        def asked() -> int:
            return sum(visit.path == "/about" for visit in shop.requests.pages())

        def over(running: Running, before: int) -> bool:
            return asked() > before or running.process.poll() is not None

        kills, before = 0, 0
        running = crawl(out, shop.url, redis=redis.url, contexts="4", depth="1", lives="1")
        until(partial(over, running, before), "the page", 90)
        while running.process.poll() is None:
            kills, before = kills + 1, asked()
            assert kills <= 3, "a crash loop without an end"
            running.kill()
            running = crawl(out, redis=redis.url, contexts="4")
            until(partial(over, running, before), "the page, or the end", 90)
        ended = running.finish()
        assert ended.code == 0, ended.output
        assert kills == 3
        assert ended.summary["dead"] == {"worker_died": 1}
        assert set(ended.urls) == shop.oracle.within(1) - {shop.at("/about")}


def test_a_killed_nodes_places_come_back_long_before_its_leases_end(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """Its lease has the only place of the site, which stops the survivor; by the crawl's own clock."""
    shop.hold()
    doomed = crawl(
        *(tmp_path / "one", shop.url), redis=redis.url, depth="1", site_concurrency="1", contexts="1"
    )
    seen_pages(shop, 1)
    survivor = crawl(tmp_path / "two", redis=redis.url, contexts="1")
    with from_url(redis.url) as server:
        generation = server.hget("{default:0}:crawl", "generation")
        here = f"{{default:0}}:{generation.decode()}:"
        until(lambda: server.zcard(f"{here}nodes") == 2, "the second node")
        doomed.kill()
        [(slot, deadline)] = server.zrange(f"{here}due", 0, -1, withscores=True)
        shop.release()
        until(lambda: not server.hexists(f"{here}slot", slot), "the end of the lease")
        assert decode_counters(server.get(f"{here}ctl"))["now"] < deadline
    finished = survivor.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    assert finished.summary["dead"] == {}


@pytest.mark.slow
def test_a_node_that_was_stopped_writes_no_record_of_what_another_has_visited(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """It wakes with a page in its hands, and nothing has told it yet that it was considered dead."""
    one, two = tmp_path / "one", tmp_path / "two"
    shop.hold()
    sleeper = crawl(one, shop.url, redis=redis.url, crawl="shared", depth="0")
    seen_pages(shop, 1)
    sleeper.signal(signal.SIGSTOP)
    shop.release()
    other = crawl(two, redis=redis.url, crawl="shared").finish()
    sleeper.signal(signal.SIGCONT)
    woken = sleeper.finish()
    assert (woken.code, other.code) == (0, 0), woken.output
    assert woken.urls + other.urls == [shop.url]


def test_a_signal_during_an_outage_ends_the_run_long_before_the_patience_does(
    shop: Shop, redis: RedisServer, out: Path
) -> None:
    """The visits are given up; nobody waits for a Redis that is away to count once more."""
    running = crawl(out, shop.url, redis=redis.url, redis_patience="1h", drain_timeout="10s")
    seen_pages(shop, 3)
    redis.kill()
    log_says(out, "is away")
    running.signal(signal.SIGTERM)
    finished = running.finish()
    assert finished.code == 143, finished.output
    assert finished.summary["exit_reason"] == "sigterm"


def states(redis: RedisServer, folder: Path) -> dict[str, str]:
    """Return the state of each node."""
    told = json.loads(farm("status", "--json", "--redis", redis.url, folder=folder).output)
    return {node["name"]: node["state"] for node in told["nodes"]}


def test_one_node_is_drained_from_outside_until_it_is_resumed(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """It ends with its pages finished and begins no more; its name is told in the remedy; the other goes on."""
    where = ("--redis", redis.url)
    one, two = tmp_path / "one", tmp_path / "two"
    shop.hold()
    leaving = crawl(one, shop.url, redis=redis.url, depth="1", node="n1")
    seen_pages(shop, 1)
    staying = crawl(two, redis=redis.url, node="n2")
    until(lambda: states(redis, one) == {"n1": "running", "n2": "running"}, "the second node")
    assert farm("drain", "--node", "n1", *where, folder=one).code == 0
    log_says(one, "this node is drained")
    assert states(redis, one) == {"n1": "draining", "n2": "running"}
    shop.release()
    left = leaving.finish()
    assert left.code in {0, 5}, left.output
    refused = crawl(one, redis=redis.url, node="n1").finish()
    assert (refused.code, refused.output.count("\n")) == (5, 1)
    assert "farm resume --node n1" in refused.output
    assert farm("resume", "--node", "n1", *where, folder=one).code == 0
    ended = staying.finish()
    assert ended.code == 0, ended.output
    assert crawl(one, redis=redis.url, node="n1").finish().code in {0, 8}
    assert set(Finished(0, "", one).urls + ended.urls) == shop.oracle.within(1)

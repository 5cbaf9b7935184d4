"""A node of several processes: one output, one summary, and whoever dies is replaced."""

import json
import os
import re
import signal
import threading
import urllib.request
from collections import Counter
from email.message import Message
from pathlib import Path

import psutil
import pytest

from farm.runtime.process_link import SEND_S
from fixtures.shop import Shop
from fixtures.sites import Answer, served
from tests.e2e.farm_process import Running, crawl, farm, log_says, seen_pages, until
from tests.e2e.redis_server import RedisServer
from tests.e2e.test_metrics import AUTHORIZATION, TOKEN, served_at
from tests.processes import alive, command_of


def processes_of(running: Running) -> list[psutil.Process]:
    """Return the processes of a node, without their engines and reapers."""
    children = psutil.Process(running.process.pid).children()
    return [one for one in children if "farm.cli.process" in command_of(one)]


def wait_for_processes(running: Running, number: int) -> list[psutil.Process]:
    """Wait until there are so many, and return them."""
    until(lambda: len(processes_of(running)) == number, f"{number} processes")
    return processes_of(running)


def glance(url: str, name: str) -> bytes:
    """Return what the web page shows of a context."""
    address = f"{url}/contexts/{name}.jpg"
    request = urllib.request.Request(address, headers=AUTHORIZATION)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        picture: bytes = answer.read()
        return picture


def test_two_processes_share_a_crawl_and_are_seen_from_outside(shop: Shop, out: Path) -> None:
    """Each renders a good part; the records are in one file, once, and the numbers are those of both."""
    shop.hold()
    where = ("--output", str(out))
    token = out.with_name("token")
    token.write_text(TOKEN)
    flags = {"contexts": "2", "processes": "2", "node": "n", "metrics_port": "0", "token_file": str(token)}
    running = crawl(out, shop.url, *(shop.at(f"/?s={n}") for n in range(8)), **flags)
    seen_pages(shop, 2)
    until(
        lambda: (
            len(json.loads(farm("status", "--json", *where, folder=out).output)["nodes"][0]["processes"]) == 2
        ),
        "both processes",
    )
    [node] = json.loads(farm("status", "--json", *where, folder=out).output)["nodes"]
    pids = {one.pid for one in wait_for_processes(running, 2)}
    assert (node["name"], node["state"], node["contexts"]) == ("n", "running", 2)
    until(
        lambda: (
            {
                one["pid"]
                for one in json.loads(farm("status", "--json", *where, folder=out).output)["nodes"][0][
                    "processes"
                ]
            }
            == pids
        ),
        "their ids",
    )
    told = json.loads(farm("status", "--json", *where, folder=out).output)
    assert told["nodes"][0]["leased"] == told["ledger"]["leased"] == 2
    assert [one["contexts"] for one in told["nodes"][0]["processes"]] == [1, 1]
    for name in ("1/01", "2/01"):
        assert glance(served_at(out), name).startswith(b"\xff\xd8\xff")
    shop.release()
    finished = running.finish(timeout_s=150)
    assert finished.code == 0, finished.output
    shares = Counter(record["node"] for record in finished.records)
    assert shares.keys() == {"n/1", "n/2"}
    assert min(shares.values()) >= 0.2 * len(finished.records), shares
    assert max(Counter(finished.urls).values()) == 1
    summary = finished.summary
    assert summary["written"] == len(finished.records) == summary["ledger"]["done"]
    assert summary["node"] == "n"
    assert f"{len(finished.records)} pages recorded" in finished.output
    assert alive(running.family()) == []


def test_a_process_that_is_killed_is_replaced_and_loses_nothing(shop: Shop, out: Path) -> None:
    """Its leases come back with its death, by the supervisor; the log says how it died."""
    running = crawl(out, shop.url, contexts="2", processes="2", depth="1")
    victim, _ = wait_for_processes(running, 2)
    seen_pages(shop, 3)
    running.family()
    victim.kill()
    log_says(out, "it is replaced at once")
    finished = running.finish(timeout_s=150)
    assert finished.code == 0, finished.output
    # Behind how it died stand its last words, where it had any.
    died = r"process \d \(\d+\) was ended by SIGKILL(?: \(.+\))?; it is replaced at once"
    assert re.search(died, finished.output), finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    assert finished.summary["ledger"]["leased"] == 0
    assert "Traceback" not in finished.output
    until(lambda: alive(running.family()) == [], "the end of all processes")


def test_no_process_outlives_a_supervisor_that_is_killed(shop: Shop, out: Path) -> None:
    """Neither a process of the node nor a browser of one; the next run does the rest."""
    shop.hold()
    running = crawl(out, shop.url, contexts="2", processes="2", depth="1")
    wait_for_processes(running, 2)
    seen_pages(shop, 1)
    running.kill()
    until(lambda: alive(running.family()) == [], "the end of all processes")
    shop.release()
    finished = crawl(out, contexts="2", processes="2").finish(timeout_s=150)
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_drains_every_process(
    shop: Shop, out: Path, number: signal.Signals
) -> None:
    """What is under way is finished or released, without an attempt; what is queued stays."""
    running = crawl(out, shop.url, contexts="2", processes="2")
    wait_for_processes(running, 2)
    seen_pages(shop, 4)
    running.signal(number)
    drained = running.finish(timeout_s=40)
    assert drained.code == 128 + number, drained.output
    ledger = drained.summary["ledger"]
    assert (ledger["leased"], ledger["done"]) == (0, len(drained.records))
    assert ledger["queued"] > 0
    assert drained.summary["exit_reason"] == number.name.lower()
    assert "replaced" not in drained.output
    until(lambda: alive(running.family()) == [], "the end of all processes")


def test_a_drain_gives_back_what_does_not_end_in_any_process(shop: Shop, out: Path) -> None:
    """Within the time to end; no attempt is consumed, so that the next run visits each for the first time."""
    shop.hold()
    urls = [shop.url, *(shop.at(f"/?s={n}") for n in range(3))]
    limits = {"drain_timeout": "10s", "page_timeout": "10m"}
    running = crawl(out, *urls, contexts="2", processes="2", depth="0", **limits)
    wait_for_processes(running, 2)
    seen_pages(shop, 2)
    running.signal(signal.SIGTERM)
    drained = running.finish()
    assert drained.code == 143, drained.output
    assert "has not ended in time" not in drained.output
    ledger = drained.summary["ledger"]
    assert (ledger["queued"], ledger["leased"], ledger["done"]) == (4, 0, 0)
    shop.release()
    finished = crawl(out, contexts="2").finish()
    assert [record["attempt"] for record in finished.records] == [1, 1, 1, 1]


def test_a_process_that_dies_again_and_again_is_replaced_later_each_time(shop: Shop, out: Path) -> None:
    """The log says how often it died, and when the next one comes."""
    shop.hold()
    running = crawl(out, shop.url, contexts="2", processes="2")
    wait_for_processes(running, 2)
    first = {one.pid for one in processes_of(running)}
    os.kill(min(first), signal.SIGKILL)
    log_says(out, "it is replaced at once")
    until(lambda: bool({one.pid for one in processes_of(running)} - first), "its successor")
    [successor] = {one.pid for one in processes_of(running)} - first
    os.kill(successor, signal.SIGKILL)
    log_says(out, "it is replaced in 1 s, having died 2 times in a row")
    shop.release()
    running.signal(signal.SIGTERM)
    assert running.finish(timeout_s=40).code == 143


def test_a_node_of_several_processes_is_drained_by_its_name(
    shop: Shop, redis: RedisServer, out: Path
) -> None:
    """Whichever of them hears of it first, all end."""
    running = crawl(out, shop.url, redis=redis.url, contexts="2", processes="2", node="n")
    wait_for_processes(running, 2)
    seen_pages(shop, 2)
    assert farm("drain", "--node", "n", "--redis", redis.url, folder=out).code == 0
    ended = running.finish(timeout_s=60)
    assert ended.code == 5, ended.output
    assert ended.summary["exit_reason"] == "stopped"
    assert ended.summary["ledger"]["leased"] == 0


@pytest.mark.slow
def test_a_supervisor_that_is_stopped_for_a_minute_loses_no_process(out: Path) -> None:
    """Its processes have records that do not fit into the sockets, and wait as they would for a sink."""
    release, came = threading.Event(), threading.Semaphore(0)
    pages = [f"/{number}" for number in range(4)]

    def answer(path: str, _headers: Message) -> Answer:
        if path not in pages:
            return Answer(status=404)
        came.release()
        release.wait(60)
        return Answer(f"<title>{path}</title><p>{'long ' * 300_000}".encode())

    with served(answer) as origin:
        urls = [origin + path for path in pages]
        running = crawl(out, *urls, contexts="2", processes="2", scope="page")
        assert came.acquire(timeout=60)
        assert came.acquire(timeout=60)
        pids = {one.pid for one in wait_for_processes(running, 2)}
        running.signal(signal.SIGSTOP)
        release.set()
        threading.Event().wait(SEND_S + 15)
        assert {one.pid for one in processes_of(running)} == pids
        running.signal(signal.SIGCONT)
        finished = running.finish(timeout_s=150)
    assert finished.code == 0, finished.output
    assert sorted(finished.urls) == urls
    assert "replaced" not in finished.output


@pytest.mark.slow
def test_a_storm_of_kills_loses_nothing(shop: Shop, out: Path) -> None:
    """Processes, drivers, browsers and the private Redis are killed in turn, each after some further pages."""
    running = crawl(out, shop.url, contexts="4", processes="2")
    victims = ("farm.cli.process", "run-driver", "redis-server", "--headless", "farm.cli.process")
    for number, victim in enumerate(victims):
        seen_pages(shop, 8 * (number + 1))
        found = [one for one in running.family() if one.is_running() and victim in " ".join(command_of(one))]
        for one in found[:1]:
            one.kill()
    finished = running.finish(timeout_s=240)
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(99), 1)
    assert finished.summary["dead"] == {}
    assert "was ended by SIGKILL" in finished.output
    assert "the private Redis was ended by signal 9" in finished.output
    assert "Traceback" not in finished.output
    until(lambda: alive(running.family()) == [], "the end of all processes")


def test_processes_that_cannot_be_are_refused(shop: Shop, out: Path) -> None:
    """In one sentence, before anything is created."""
    more = crawl(out, shop.url, contexts="2", processes="3").finish()
    assert (more.code, more.output.count("\n")) == (2, 1)
    assert "--processes 3: each needs a context, and there are 2" in more.output
    small = crawl(out, shop.url, contexts="2", processes="2", memory="512MiB").finish()
    assert (small.code, small.output.count("\n")) == (2, 1)
    assert "--processes 2: a budget of" in small.output
    assert not out.exists()

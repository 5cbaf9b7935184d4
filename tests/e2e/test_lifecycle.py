"""Nodes that share a name, crash and come again; crawls that were stopped, are finished, or wait for more."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.e2e.farm_process import Finished, Running, crawl, farm, seen_pages, until
from tests.e2e.redis_server import RedisServer


def ledger(redis: RedisServer, folder: Path) -> dict[str, int]:
    """Return the numbers of the crawl, as anybody sees them."""
    told = json.loads(farm("status", "--json", "--redis", redis.url, folder=folder).output)
    return dict(told["ledger"])


def kept(folder: Path) -> str:
    """Return the node name that a folder has kept."""
    return (folder / ".farm" / "node").read_text().strip()


def whole(shop: Shop, *runs: Finished) -> None:
    """Check that the runs together have every page, none of them twice in one folder, and that none is dead."""
    assert {url for run in runs for url in run.urls} == shop.oracle.within(1)
    assert all(max(Counter(run.urls).values(), default=1) == 1 for run in runs)
    assert runs[-1].summary["ledger"]["dead"] == 0


def test_nodes_of_one_host_and_one_path_do_not_share_a_name(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """As pods do that are started with the same command: the same host name and path, each with its own disk."""
    here, there, path = tmp_path / "here", tmp_path / "there", tmp_path / "out"
    here.mkdir()
    there.mkdir()
    path.symlink_to(here)
    # No page that is held may time out: its second attempt would be taken for a page of the second node.
    first = crawl(path, shop.url, redis=redis.url, depth="1", page_timeout="5m")
    seen_pages(shop, 3)
    shop.hold()
    asked = len(shop.requests.pages())
    path.unlink()
    path.symlink_to(there)
    second = crawl(path, redis=redis.url)
    # The first has two contexts: one more page under way is the second's.
    seen_pages(shop, asked + 3)
    shop.release()
    ends = [first.finish(timeout_s=90), second.finish(timeout_s=90)]
    assert [end.code for end in ends] == [0, 0], ends
    # What the first has open is in its own folder, and the last summary where the path leads now.
    ends[0].folder = here
    whole(shop, *ends)
    assert kept(here) != kept(there)
    assert {record["node"] for record in ends[0].records} == {kept(here)}
    assert {record["node"] for record in ends[1].records} == {kept(there)}


def test_a_name_that_is_in_use_is_refused(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """In one sentence with the remedy; the one that has it goes on, and loses nothing."""
    one, two = tmp_path / "one", tmp_path / "two"
    shop.hold()
    first = crawl(one, shop.url, redis=redis.url, depth="1", node="reaper")
    seen_pages(shop, 1)
    refused = crawl(two, redis=redis.url, node="reaper").finish()
    assert refused.code == 2, refused.output
    assert refused.output.count("\n") == 1, refused.output
    assert "The node name reaper is in use" in refused.output
    assert "another --node" in refused.output
    shop.release()
    finished = first.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    whole(shop, finished)
    assert {record["node"] for record in finished.records} == {"reaper"}


def test_a_copied_folder_is_noticed_while_both_live(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """Copied under a live run, so that it knows that run's very incarnation: the copy proves nothing."""
    one, two = tmp_path / "one", tmp_path / "two"
    shop.hold()
    first = crawl(one, shop.url, redis=redis.url, depth="1")
    seen_pages(shop, 1)
    shutil.copytree(one, two)
    refused = crawl(two, redis=redis.url).finish()
    assert refused.code == 2, refused.output
    assert "is in use by a run" in refused.output
    assert "with --node" in refused.output
    shop.release()
    finished = first.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    whole(shop, finished)


def test_of_two_copies_that_start_at_once_one_works(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """Which one does not matter; between them nothing is lost."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert crawl(one, shop.url, redis=redis.url, depth="1", limit="2").finish().code == 5
    shutil.copytree(one, two)
    shop.hold()
    runs = [crawl(folder, redis=redis.url) for folder in (one, two)]
    until(lambda: any(run.process.poll() is not None for run in runs), "the end of one of them")
    shop.release()
    ends = sorted((run.finish(timeout_s=90) for run in runs), key=lambda end: end.code)
    assert [end.code for end in ends] == [0, 2], ends
    assert "is in use by a run" in ends[1].output
    assert set(ends[0].urls) == shop.oracle.within(1)
    assert ends[0].summary["ledger"]["dead"] == 0


def test_a_node_that_is_killed_and_started_again_has_its_leases_at_once(
    shop: Shop, redis: RedisServer, out: Path
) -> None:
    """Its name is free although its heartbeat is fresh: the folder's lock proves that it is dead."""
    shop.hold()
    running = crawl(out, shop.url, redis=redis.url, depth="0")
    seen_pages(shop, 1)
    name = kept(out)
    running.kill()
    assert ledger(redis, out)["leased"] == 1
    again = crawl(out, redis=redis.url)
    # Long before the lease would have ended, and with nobody else to take it back.
    seen_pages(shop, 2)
    shop.release()
    finished = again.finish()
    assert finished.code == 0, finished.output
    assert kept(out) == name
    assert finished.urls == [shop.url]
    assert finished.summary["ledger"]["done"] == 1


def _stopped(folder: Path, shop: Shop, redis: RedisServer) -> Running:
    """Start a node, and stop it in the middle of its visits as a machine does that sleeps."""
    sleeper = crawl(folder, shop.url, redis=redis.url, depth="1", node="n")
    seen_pages(shop, 3)
    sleeper.signal(signal.SIGSTOP)
    return sleeper


@pytest.mark.slow
def test_a_node_that_wakes_after_its_name_was_taken_ends(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """It settles nothing of its successor's, takes none of its leases back, and says why it ends."""
    one, two = tmp_path / "one", tmp_path / "two"
    sleeper = _stopped(one, shop, redis)
    shop.hold()
    asked = len(shop.requests.pages())
    successor = crawl(two, redis=redis.url, node="n")
    seen_pages(shop, asked + 1)
    # The slots of its successor are not its own, so that it cannot ask in their names.
    life = (two / ".farm" / "incarnation").read_text()[:8]
    [key] = redis.ask("KEYS", "{default:0}:*slot").split()
    slots = redis.ask("HKEYS", key).split()
    assert slots
    assert {slot.partition(".")[2] for slot in slots} == {life}
    sleeper.signal(signal.SIGCONT)
    woken = sleeper.finish(timeout_s=60)
    assert woken.code == 2, woken.output
    assert "Another run has taken the node name n" in woken.output.splitlines()[-1]
    shop.release()
    finished = successor.finish(timeout_s=90)
    assert finished.code == 0, finished.output
    whole(shop, woken, finished)
    assert "settled by another worker" not in finished.output
    audited = farm("doctor", "--audit", "--redis", redis.url, folder=two)
    assert "holds every invariant" in audited.output, audited.output


@pytest.mark.parametrize(("word", "state"), [("stop", "stopped"), ("drain", "draining")])
def test_a_crawl_that_was_halted_stays_so_until_it_is_resumed(
    shop: Shop, out: Path, word: str, state: str
) -> None:
    """A supervisor that starts a node again is told how to go on, and no browser is started for it."""
    where = ("--output", str(out))
    assert crawl(out, shop.url, depth="1", limit="2").finish().code == 5
    assert farm(word, *where, folder=out).code == 0
    asked = len(shop.requests)
    for urls in ((), (shop.url,)):
        refused = crawl(out, *urls).finish()
        assert refused.code == 5, refused.output
        assert refused.output.count("\n") == 1, refused.output
        assert f"The crawl 'default' is {state}" in refused.output
        assert f"`farm resume --output {out}`" in refused.output
    assert len(shop.requests) == asked
    assert farm("resume", *where, folder=out).output == "crawl default: running\n"
    finished = crawl(out).finish()
    assert finished.code == 0, finished.output
    whole(shop, finished)


def test_a_crawl_can_be_started_anew_although_it_was_stopped(shop: Shop, out: Path) -> None:
    """`--fresh` forgets that, too."""
    assert crawl(out, shop.url, depth="1", limit="2").finish().code == 5
    assert farm("stop", "--output", str(out), folder=out).code == 0
    finished = crawl(out, shop.url, "--fresh", depth="0").finish()
    assert finished.code == 0, finished.output
    assert finished.urls == [shop.url]


def test_a_drain_that_is_taken_back_ends_no_other_node(
    shop: Shop, redis: RedisServer, tmp_path: Path
) -> None:
    """Resumed before the node that drains has ended: whoever starts then goes on."""
    one, two, where = tmp_path / "one", tmp_path / "two", ("--redis", redis.url)
    leaving = crawl(one, shop.url, redis=redis.url, depth="1")
    seen_pages(shop, 3)
    shop.hold()
    assert farm("drain", *where, folder=one).code == 0
    assert farm("resume", *where, folder=one).code == 0
    staying = crawl(two, redis=redis.url)
    shop.release()
    ends = [leaving.finish(timeout_s=60), staying.finish(timeout_s=60)]
    assert ends[0].code in {0, 5}, ends
    assert ends[1].code == 0, ends
    whole(shop, *ends)


def test_a_node_that_stays_waits_until_a_stopped_crawl_is_resumed(
    shop: Shop, redis: RedisServer, out: Path
) -> None:
    """Without a lease; signals are heard meanwhile."""
    where = ("--redis", redis.url)
    assert crawl(out, shop.url, redis=redis.url, depth="1", limit="2").finish().code == 5
    assert farm("stop", *where, folder=out).code == 0
    before = (out / "farm.log").read_text()
    ended = crawl(out, "--stay", redis=redis.url)
    until(lambda: _clients(redis) > 0, "the waiting node's connection")
    waiting = crawl(out, "--stay", redis=redis.url, time_limit="1s").finish()
    assert waiting.code == 5, waiting.output
    assert "Waiting for that (--stay)" in waiting.output
    _ended_by_signal(ended, signal.SIGTERM, 143)
    until(lambda: _clients(redis) == 0, "the end of its connection")
    interrupted = crawl(out, "--stay", redis=redis.url)
    until(lambda: _clients(redis) > 0, "the waiting node's connection")
    _ended_by_signal(interrupted, signal.SIGINT, 130)
    until(lambda: _clients(redis) == 0, "the end of its connection")
    asked = len(shop.requests)
    resumed = crawl(out, "--stay", redis=redis.url)
    until(lambda: _clients(redis) > 0, "the waiting node's connection")
    assert (out / "farm.log").read_text() == before
    assert len(shop.requests) == asked
    assert farm("resume", *where, folder=out).code == 0
    wanted = len(shop.oracle.within(1))
    # What came before it was stopped is in the same file; a command each time would cost more than the crawl.
    until(lambda: len(Finished(0, "", out).records) == wanted, "every record")
    until(lambda: ledger(redis, out)["done"] == wanted, "every page")
    assert farm("stop", *where, folder=out).code == 0
    finished = resumed.finish()
    assert finished.code == 0, finished.output
    assert finished.summary["exit_reason"] == "stopped"
    whole(shop, finished)


def _clients(redis: RedisServer) -> int:
    return redis.ask("CLIENT", "LIST").count("name=crawl-farm")


def _ended_by_signal(node: Running, number: signal.Signals, code: int) -> None:
    """Check that a signal ends a waiting node as it ends every other."""
    node.signal(number)
    ended = node.finish(timeout_s=30)
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output


def test_a_node_stays_for_what_is_added_later(shop: Shop, out: Path) -> None:
    """Nothing is left, and it waits; the signal ends it."""
    running = crawl(out, shop.url, "--stay", scope="page")
    until(lambda: len(Finished(0, "", out).records) == 1, "the first page")
    added = farm("add", shop.at("/about"), "--output", str(out), folder=out)
    assert added.output == "1 added, 0 known already\n"
    until(lambda: len(Finished(0, "", out).records) == 2, "the page that was added")
    running.signal(signal.SIGTERM)
    ended = running.finish(timeout_s=30)
    assert ended.code == 143, ended.output
    assert ended.summary["exit_reason"] == "sigterm"
    assert set(ended.urls) == {shop.url, shop.at("/about")}


def test_a_node_that_stays_keeps_to_its_limit(shop: Shop, out: Path) -> None:
    """There is nothing to wait for: what is added later would not be visited."""
    finished = crawl(out, shop.url, "--stay", scope="page", limit="1", time_limit="50s").finish()
    assert finished.summary["exit_reason"] == "limit", finished.output
    assert finished.code == 0, finished.output


def test_a_finished_crawl_is_not_begun_again_by_a_supervisor(shop: Shop, out: Path) -> None:
    """Its figures stay what the run was, its log does not grow; what is added opens it again."""
    assert crawl(out, shop.url, depth="0").finish().code == 0
    files = [out / name for name in ("summary.json", "farm.log", "pages.jsonl")]
    before = [file.read_bytes() for file in files]
    asked = len(shop.requests)
    for _ in range(2):
        again = crawl(out, shop.url, depth="0")
        over = again.finish()
        assert over.code == 0, over.output
        assert over.output.startswith("nothing new: the crawl is finished (1 done, 0 dead)"), over.output
        assert over.output.count("\n") == 1
    assert [file.read_bytes() for file in files] == before
    assert len(shop.requests) == asked
    assert farm("add", shop.at("/about"), "--output", str(out), folder=out).code == 0
    finished = crawl(out, scope="host").finish()
    assert finished.code == 0, finished.output
    assert set(finished.urls) == {shop.url, shop.at("/about")}
    assert finished.summary["ledger"]["done"] == 2


def test_a_crawl_whose_sitemaps_were_not_read_is_not_taken_for_finished(shop: Shop, out: Path) -> None:
    """Another run may bring them."""
    assert crawl(out, shop.url, depth="0").finish().code == 0
    asked = len(shop.requests)
    assert crawl(out, shop.url, depth="0", sitemap="auto").finish().code == 0
    assert len(shop.requests) > asked
    asked = len(shop.requests)
    assert crawl(out, shop.url, depth="0", sitemap="auto").finish().code == 0
    assert len(shop.requests) == asked


def test_the_commands_that_a_run_offers_can_be_pasted(shop: Shop, tmp_path: Path) -> None:
    """Wherever the crawl is: here in a folder with a blank in its name, by another name than the default."""
    out = tmp_path / "a folder" / "out"
    out.parent.mkdir()
    where = ("--crawl", "other", "--output", str(out))

    def pasted(command: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        return subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=True
        )

    limited = crawl(out, shop.url, crawl="other", depth="1", limit="2").finish()
    assert limited.code == 5, limited.output
    go_on = limited.output.partition("go on with: ")[2].strip()
    assert farm("stop", *where, folder=out).code == 0
    stopped = crawl(out, crawl="other").finish()
    resumed = pasted(stopped.output.partition("`")[2].partition("`")[0])
    assert resumed.stdout == "crawl other: running\n"
    assert "nothing" not in pasted(f"{go_on} --live off").stderr
    audited = farm("status", "--json", *where, folder=out)
    assert json.loads(audited.output)["state"] == "finished"

"""Crawls that go out by proxies: each page by its own, dead ones left, captchas met, none left to try."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from farm.egress import parse_proxies
from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, farm, log_says, logged, until
from tests.e2e.test_shop import assert_complete
from tests.egress.farm_of_proxies import SmallProxy, proxies_in_thread
from tests.processes import command_of

SECRETS = ("somebody", "hunter2")
LOGIN = ":".join(SECRETS)


def write(path: Path, *proxies: SmallProxy) -> str:
    """Write a proxies file and return its name."""
    path.write_text("".join(f"{proxy.line}\n" for proxy in proxies))
    assert len(parse_proxies(path.read_text()).upstreams) == len(proxies)
    return str(path)


def by_proxy(finished: Finished) -> Counter[str]:
    """Count the records of each proxy."""
    return Counter(record["proxy"] for record in finished.records)


@pytest.mark.slow
def test_each_page_comes_by_the_proxy_of_its_context(out: Path, tmp_path: Path) -> None:
    """Ten proxies with credentials, a farm's worth of contexts: every request goes by one of them.

    Nothing that the run leaves, prints or shows in the list of processes has a credential in it.
    """
    proxies = [SmallProxy(credentials=LOGIN) for _ in range(10)]
    # A busy processor holds contexts back; waiting for a shop keeps none busy.
    with serve_shop_in_thread(latency_ms=1500) as shop, proxies_in_thread(*proxies):
        file = write(tmp_path / "proxies.txt", *proxies)
        running = crawl(out, shop.url, contexts="10", proxies=file, log_level="debug")
        until(lambda: bool(len(shop.requests.pages()) > 5), "pages")
        commands = [" ".join(command_of(process)) for process in running.family()]
        finished = running.finish(180)
        assert_complete(finished, shop.oracle)
    used = by_proxy(finished)
    assert set(used) <= {proxy.label for proxy in proxies}
    assert len(used) > 5
    assert all(proxy.authorized == len(proxy.asked) for proxy in proxies)
    assert all(set(proxy.asked) <= {f"127.0.0.1:{shop.port}"} for proxy in proxies)
    contexts = {(record["context"], record["proxy"]) for record in finished.records}
    assert len({context for context, _ in contexts}) == len(contexts), "a context stays with its proxy"
    left = {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(left) > 4
    left |= {"output": finished.output.encode(), "processes": " ".join(commands).encode()}
    for name, content in left.items():
        for secret in SECRETS:
            assert secret.encode() not in content, f"{secret} stands in {name}"


def test_another_page_is_another_proxy_where_that_is_wanted(out: Path, tmp_path: Path) -> None:
    """One context, three proxies, turn by turn."""
    proxies = [SmallProxy() for _ in range(3)]
    with serve_shop_in_thread() as shop, proxies_in_thread(*proxies):
        file = write(tmp_path / "proxies.txt", *proxies)
        finished = crawl(
            out, shop.url, contexts="1", proxies=file, proxy_rotation="page", robots="ignore", limit="6"
        ).finish()
    assert finished.code == 5, finished.output
    assert set(by_proxy(finished).values()) == {2}


def given_back(finished: Finished, proxy: SmallProxy) -> int:
    """Count the visits that were released because of a proxy, as the log tells it."""
    return logged(finished.folder).count(f"released: proxy: {proxy.label}")


@pytest.mark.slow
def test_what_dead_and_blocked_proxies_spoil_is_done_by_the_others(out: Path, tmp_path: Path) -> None:
    """Three of ten die, one shows captchas: every page is there at its first attempt, the four are soon left."""
    good = [SmallProxy() for _ in range(6)]
    bad = [SmallProxy(dead_after=1) for _ in range(3)] + [SmallProxy(captcha=True)]
    with serve_shop_in_thread() as shop, proxies_in_thread(*good, *bad):
        file = write(tmp_path / "proxies.txt", *bad, *good)
        finished = crawl(out, shop.url, contexts="10", proxies=file, log_level="debug").finish(180)
        assert_complete(finished, shop.oracle)
    assert {record["attempt"] for record in finished.records} == {1}
    assert finished.summary["dead"] == {}
    assert {record["blocked_by"] for record in finished.records} == {None}
    *dead, blocked = bad
    for proxy in dead:
        failures = given_back(finished, proxy)
        # One that is passed over after its first failures has not come to its third.
        assert failures < 3 or f"proxy {proxy.label} is banned" in logged(out)
        assert failures <= 5, proxy
    assert 1 <= blocked.spoiled <= 5
    assert f"proxy {blocked.label} is banned for 127.0.0.1" in logged(out)


def delayed(out: Path) -> int:
    """Return how many URLs of a running crawl wait for their time."""
    told = json.loads(farm("status", "--json", "--output", str(out), folder=out).output)
    return int(told["ledger"]["delayed"])


def test_without_another_address_a_block_ends_as_blocked(out: Path, tmp_path: Path) -> None:
    """The only proxy meets a captcha: it is banned for the site, and nothing goes direct."""
    proxy = SmallProxy(captcha=True)
    with serve_shop_in_thread() as shop, proxies_in_thread(proxy):
        file = write(tmp_path / "proxies.txt", proxy)
        running = crawl(out, shop.url, contexts="1", proxies=file)
        log_says(out, "is banned for 127.0.0.1")
        until(lambda: delayed(out) == 1, "the delay of its URL")
        running.signal(signal.SIGTERM)
        finished = running.finish()
        assert len(shop.requests) == 0
    assert finished.code == 143, finished.output
    assert finished.records == []
    assert finished.summary["ledger"]["delayed"] == 1


def test_when_every_proxy_is_down_the_run_waits_and_then_says_so(out: Path, tmp_path: Path) -> None:
    """Exit code 7 after the patience, with nothing lost and nothing gone direct."""
    proxies = [SmallProxy(dead_after=0), SmallProxy(credentials=LOGIN)]
    with serve_shop_in_thread() as shop, proxies_in_thread(*proxies):
        path = tmp_path / "proxies.txt"
        wrong = proxies[1].line.replace(SECRETS[1], "wrong")
        path.write_text(f"http://127.0.0.1:1\n{wrong}\n")
        finished = crawl(out, shop.url, proxies=str(path), proxy_patience="2s").finish()
        assert len(shop.requests) == 0
    assert finished.code == 7, finished.output
    assert "None of the 2 proxies has worked for 2 s" in finished.output
    assert "wrong" not in finished.output
    assert finished.summary["exit_reason"] == "all_proxies_down"
    assert finished.summary["ledger"] | {"accepted": 1, "queued": 1} == finished.summary["ledger"]


def test_a_file_that_changes_is_read_again(out: Path, tmp_path: Path) -> None:
    """A run that waits for a proxy goes on when the file names one that works."""
    proxy = SmallProxy()
    with serve_shop_in_thread() as shop, proxies_in_thread(proxy):
        path = tmp_path / "proxies.txt"
        path.write_text("http://127.0.0.1:1\n")
        running = crawl(out, shop.url, scope="page", proxies=str(path))
        log_says(out, "none of the 1 proxies")
        write(path, proxy)
        finished = running.finish()
    assert finished.code == 0, finished.output
    assert by_proxy(finished) == {proxy.label: 1}


@pytest.mark.parametrize("content", ["", "ftp://somebody:hunter2@a:1\n"])
def test_a_file_without_proxies_is_refused_in_one_sentence(out: Path, tmp_path: Path, content: str) -> None:
    """Exit code 2, before anything is created."""
    path = tmp_path / "proxies.txt"
    path.write_text(content)
    finished = crawl(out, "http://127.0.0.1:9/", proxies=str(path)).finish()
    assert finished.code == 2
    assert finished.output.count("\n") == 1
    assert "hunter2" not in finished.output
    assert not out.exists()


def test_a_visit_that_brings_too_much_is_dead_as_too_large(out: Path) -> None:
    """The rest of the crawl goes on."""
    with serve_shop_in_thread() as shop:
        finished = _small_pages_only(out, shop)
    assert finished.code == 8, finished.output
    assert finished.summary["dead"] == {"too_large": 1}


def _small_pages_only(out: Path, shop: Shop) -> Finished:
    return crawl(out, shop.url, scope="page", max_page_size="2KiB").finish()

"""The metrics of a real run, beside its summary."""

import json
import re
import signal
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from fixtures.ports import free_port
from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, logged, until

TOKEN = "a-token-of-some-length"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
SERVED = re.compile(r"metrics are served at (http://\S+)/metrics")


def served_at(folder: Path) -> str:
    """Return the address of a run's metrics, without the path, as soon as its log has it."""
    until(lambda: SERVED.search(logged(folder)) is not None, "the address of the metrics")
    served = SERVED.search(logged(folder))
    assert served is not None
    return served[1]


def samples(url: str) -> dict[str, float]:
    """Return the samples of a scrape, by name and values of labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:  # noqa: S310 - loopback
        text = answer.read().decode()
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def is_ready(url: str) -> bool:
    """Whether the node says that it works."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=30) as answer:  # noqa: S310 - loopback
            return bool(answer.status == HTTPStatus.OK)
    except urllib.error.HTTPError as error:
        return bool(error.code != HTTPStatus.SERVICE_UNAVAILABLE)


def page_state(url: str) -> dict[str, Any]:
    """Return what the page for a browser is told first, with the token."""
    request = urllib.request.Request(f"{url}/events", headers=AUTHORIZATION)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.loads(answer.readline().removeprefix(b"data: "))
        return found


def dead_letters(url: str) -> list[dict[str, Any]]:
    """Return the dead letters that the page shows, with the token."""
    request = urllib.request.Request(f"{url}/dead", headers=AUTHORIZATION)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.loads(answer.read())["letters"]
        return found


def steer(url: str, act: str) -> None:
    """Press a button of the page."""
    body = json.dumps({"act": act}).encode()
    request = urllib.request.Request(f"{url}/act", body, AUTHORIZATION)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.status == HTTPStatus.NO_CONTENT


def test_the_counters_of_a_run_equal_its_summary(shop: Shop, out: Path) -> None:
    """Scraped when nothing is left, in a run that waits for more; the page of it pauses the crawl."""
    token_file = out.with_name("token")
    token_file.write_text(TOKEN)
    nobody = f"http://127.0.0.1:{free_port()}/"
    seeds = (shop.url, shop.at("/about"), nobody)
    running = crawl(
        out, *seeds, "--stay", scope="page", metrics_port="0", retries="0", token_file=str(token_file)
    )
    url = served_at(out)
    until(lambda: is_ready(url), "a node that is ready")

    def is_settled() -> bool:
        read = samples(url)
        return read["farm_queue_urls done"] + read["farm_queue_urls dead"] == len(seeds)

    until(is_settled, "the end of the queue")
    told = page_state(url)
    assert {code for code, _ in told["codes"]} == {"200"}
    assert shop.url.split("/")[2] in str(told["sites"])
    [letter] = dead_letters(url)
    assert (letter["url"], letter["reason"], letter["picture"]) == (nobody, "network", False)
    steer(url, "pause")
    until(lambda: page_state(url)["state"] == "paused", "a crawl that is paused")
    steer(url, "resume")
    until(lambda: page_state(url)["state"] == "running", "a crawl that goes on")
    read = samples(url)
    running.signal(signal.SIGTERM)
    summary = running.finish().summary
    ledger = summary["ledger"]
    assert {state: read[f"farm_queue_urls {state}"] for state in ("queued", "leased", "done", "dead")} == {
        state: ledger[state] for state in ("queued", "leased", "done", "dead")
    }
    assert read["farm_accepted_urls_total"] == ledger["accepted"] == len(seeds)
    assert read["farm_pages_total done"] == ledger["done"] == len(seeds) - 1
    assert read["farm_pages_total dead"] == ledger["dead"] == 1
    assert 0 <= read["farm_eligible_urls"] <= len(seeds)
    assert read["farm_dead_urls network"] == summary["dead"]["network"]
    assert read["farm_memory_budget_bytes"] == summary["memory_budget_bytes"]

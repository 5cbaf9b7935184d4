"""A node that is cut off from Redis and from the site while it works, and is connected again."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.frontier.terms import Terms
from fixtures.lamps import Lamps
from fixtures.oracle import Oracle
from tests.e2e.farm_process import FARM, Running, start, until
from tests.e2e.namespaces import NETWORK, Network, needs_namespaces, network
from tests.e2e.test_render_auto import incomplete, taken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs_namespaces]
CONTEXTS = 2
PAGES, APPS = 240, 6


@pytest.fixture
def hosts() -> Iterator[Network]:
    """Make a host with Redis and the site, and one for each of two nodes."""
    with network("hub", "one", "two") as made:
        yield made


@pytest.fixture
def redis(hosts: Network, tmp_path: Path) -> Iterator[str]:
    """Start Redis on the hub; return its URL."""
    flags = ("--bind", "*", "--protected-mode", "no", "--save", "", "--dir", str(tmp_path))
    server = subprocess.Popen(
        hosts.command("hub", "redis-server", "--port", "6379", *flags), stdout=subprocess.DEVNULL
    )
    yield f"redis://{hosts.addresses['hub']}:6379"
    server.kill()
    server.wait(10)


@pytest.fixture
def site(hosts: Network, render: str) -> Iterator[str]:
    """Start a site on the hub: the shop, or one that plain HTTP is enough for; return its URL."""
    lamps = ("fixtures.lamps", "--pages", str(PAGES), "--apps", str(APPS))
    module = lamps if render == "auto" else ("fixtures.shop",)
    command = hosts.command("hub", sys.executable, "-m", *module, "--host", hosts.addresses["hub"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


def _node(hosts: Network, name: str, redis: str, folder: Path, *arguments: str) -> Running:
    options = ("--contexts", str(CONTEXTS), "--ramp-up", "0s", "--allow-network", NETWORK, "--live", "off")
    joined = ("--redis", redis, "--crawl", "cut", "--node", name, "--output", str(folder))
    return start("run", *arguments, *options, *joined, folder=folder, prefix=hosts.command(name))


def _asked(hosts: Network, redis: str, *command: str) -> str:
    given = hosts.command("hub", *FARM, *command, "--redis", redis, "--crawl", "cut")
    done = subprocess.run(given, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout


def _states(hosts: Network, redis: str) -> dict[str, str]:
    said = _asked(hosts, redis, "status", "--json")
    return {node["name"]: node["state"] for node in json.loads(said)["nodes"]} if said else {}


@pytest.mark.parametrize(
    ("render", "renderer", "rate"),
    [("browser", "browser", "1/s"), ("auto", "fetch", "2/s")],
    ids=["browser", "auto"],
)
def test_a_node_that_is_cut_off_for_two_lease_times_loses_nothing(
    hosts: Network, redis: str, site: str, tmp_path: Path, render: str, renderer: str, rate: str
) -> None:
    """It shows as lost and as back; the other one visits what it had leased; no page is missing."""
    one = _node(hosts, "one", redis, tmp_path / "one", site, "--rate", rate, "--render", render)
    until(lambda: _states(hosts, redis) == {"one": "running"}, "the first node")
    two = _node(hosts, "two", redis, tmp_path / "two")
    until(lambda: taken(tmp_path / "two", renderer) > 0, f"a page by {renderer} of the second node", 180)
    hosts.unplug("two")
    cut_off = time.monotonic()
    until(lambda: _states(hosts, redis) == {"one": "running", "two": "lost"}, "the loss of the second node")
    until(lambda: time.monotonic() - cut_off >= 2 * Terms().visibility_s, "two lease times", 120)
    assert _states(hosts, redis) == {"one": "running", "two": "lost"}
    hosts.plug("two")
    until(lambda: _states(hosts, redis) == {"one": "running", "two": "running"}, "the second node's return")
    ended = [node.finish(timeout_s=200) for node in (one, two)]
    assert [each.code for each in ended] == [0, 0], [each.output for each in ended]
    assert all("Traceback" not in each.output for each in ended)
    seen = Counter(url for each in ended for url in each.urls)
    lamps = Lamps(PAGES, APPS, url=site)
    assert set(seen) == (lamps.urls if render == "auto" else Oracle(site).within(99))
    assert render == "browser" or [incomplete(each, lamps) for each in ended] == [[], []]
    # A page whose record was stored when the cable was pulled is acknowledged by nobody, and visited again.
    assert seen.total() - len(seen) <= CONTEXTS
    assert all(max(Counter(each.urls).values()) == 1 for each in ended)
    ledger = ended[0].summary["ledger"]
    assert ledger["done"] == ledger["accepted"] == len(seen)
    audit = hosts.command("hub", *FARM, "doctor", "--audit", "--redis", redis, "--crawl", "cut")
    assert subprocess.run(audit, check=False, capture_output=True, timeout=60).returncode == 0

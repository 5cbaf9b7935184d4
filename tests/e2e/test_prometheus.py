"""A real Prometheus reads a running farm: each expression of the dashboard and of the alerts has a meaning."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.ports import free_port
from fixtures.shop import Shop
from tests.e2e.farm_process import STARTED, crawl, until
from tests.e2e.test_metrics import served_at
from tests.tree import ROOT

DASHBOARD = ROOT / "docker/grafana/dashboard.json"
ALERTS = ROOT / "docker/prometheus/alerts.yml"
SCALER = ROOT / "docker/kubernetes/keda/scaled-object.yaml"


def program(name: str) -> str:
    """Return the path of one of Prometheus' programs."""
    path = shutil.which(name)
    assert path is not None, f"there is no {name}; `make test` installs it, or check the package prometheus"
    return path


def panels() -> list[tuple[str, str]]:
    """Return the dashboard's expressions with their panels' titles, a rate's window in the tests' measure."""
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "5s"))
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    ]


class Prometheus:
    """A server that scrapes one target each second."""

    def __init__(self, folder: Path, target: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        config = folder / "prometheus.yml"
        scrape = {"job_name": "farm", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        # JSON is YAML too.
        config.write_text(json.dumps({"scrape_configs": [scrape], "rule_files": [str(ALERTS)]}))
        listen = self.url.removeprefix("http://")
        flags = {"config.file": config, "storage.tsdb.path": folder / "data", "web.listen-address": listen}
        self.process = subprocess.Popen(
            [program("prometheus"), *(f"--{name}={value}" for name, value in flags.items())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment; raises OSError where it does not answer yet."""
        return list(self._asked(f"query?{urllib.parse.urlencode({'query': expression})}")["result"])

    def alerts(self) -> list[tuple[str, str]]:
        """Return the alerts' names and expressions, as it has read them."""
        groups = self._asked("rules?type=alert")["groups"]
        return [(rule["name"], rule["query"]) for group in groups for rule in group["rules"]]

    def _asked(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}", timeout=30) as answer:  # noqa: S310 - loopback
            read: dict[str, Any] = json.load(answer)
        assert read["status"] == "success", read
        return dict(read["data"])

    def has(self, expression: str) -> bool:
        """Whether the expression has a series by now."""
        try:
            return bool(self.query(expression))
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(30)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, whole_shop: Shop) -> Iterator[Prometheus]:
    """Run a farm that waits for more, with some pages behind it, under a Prometheus."""
    folder = tmp_path_factory.mktemp("watched")
    running = crawl(folder / "out", whole_shop.url, "--stay", depth="1", metrics_port="0")
    # It outlives a test, after each of which what was started is ended.
    STARTED.remove(running)
    prometheus = Prometheus(folder, served_at(folder / "out").removeprefix("http://"))
    until(lambda: prometheus.has('rate(farm_pages_total{outcome="done"}[5s])'), "two scrapes")
    until(lambda: prometheus.has('farm_pages_total{outcome="done"} > 5'), "pages")
    yield prometheus
    prometheus.stop()
    running.kill()


def test_each_panel_of_the_dashboard_has_something_to_show(watched: Prometheus) -> None:
    """A metric that is misspelt would be an empty panel for ever, and not only after a scrape that was late."""
    empty = set(panels())

    def shown() -> bool:
        empty.difference_update([one for one in empty if watched.query(one[1])])
        return not empty

    until(shown, lambda: f"something in each of {empty}")


def test_what_scales_the_farm_is_one_number(watched: Prometheus) -> None:
    """As KEDA wants it; of a crawl that has no more to do it is 0."""
    [trigger] = yaml.safe_load(SCALER.read_text())["spec"]["triggers"]
    query = trigger["metadata"]["query"]

    def value() -> list[float]:
        # A scrape that took too long has left no number for a moment.
        return [float(series["value"][1]) for series in watched.query(query)]

    until(lambda: value() == [0], "the end of what could be visited")


def test_no_alert_fires_in_a_run_that_is_well(watched: Prometheus) -> None:
    """And each can be evaluated. A scrape that takes more than a second, on a loaded machine, is no alert yet."""
    assert watched.alerts()
    found = {name: watched.query(expression) for name, expression in watched.alerts()}
    assert {name for name, series in found.items() if series} <= {"FarmNodeSilent"}


def test_each_alert_fires_where_it_should() -> None:
    """By the tool that Prometheus has for it."""
    asked = subprocess.run(
        [program("promtool"), "test", "rules", "tests/monitor/alerts.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    tested = set(re.findall(r"- alertname: (\w+)", (ROOT / "tests/monitor/alerts.yml").read_text()))
    assert tested == set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))

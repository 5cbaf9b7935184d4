"""The file for Compose: what it says of the farm, and its services as they work together by their own commands."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from farm.settings.commands import RunSettings
from farm.settings.load import load
from farm.settings.units import parse_duration
from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Running, end_all, start, until
from tests.e2e.test_metrics import served_at
from tests.sinks.postgres_server import PostgresServer
from tests.tree import ROOT

DOCKER = ROOT / "docker"
SERVICES: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
FARM = SERVICES["farm"]
_DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def filled(text: str) -> str:
    """Return a value with the defaults of its variables."""
    return _DEFAULT.sub(r"\1", text)


ENVIRONMENT = {name: filled(value) for name, value in FARM["environment"].items()}
COMMAND = [filled(part) for part in FARM["command"]]


def test_the_nodes_settings_are_the_farms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They end in the time that they are given, and each has an output folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert COMMAND[0] == "run"
    settings = load(RunSettings, COMMAND[1:], "farm run", "")
    assert settings.stay
    assert settings.drain_timeout < parse_duration(FARM["stop_grace_period"])
    assert any(str(settings.output).startswith(f"{volume}/") for volume in FARM["volumes"])
    assert settings.redis.reveal() == "redis://redis:6379/0"
    assert {"redis", "records"} <= SERVICES.keys()


def test_every_file_that_is_mounted_is_there() -> None:
    """A path that is misspelt would be an empty folder in the container."""
    mounted = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert mounted
    assert [path for path in mounted if not (DOCKER / path).exists()] == []
    [profile] = [one.partition("=")[2] for one in FARM["security_opt"] if one.startswith("seccomp=")]
    assert (DOCKER / profile).exists()


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """By the names of the services, in the folder that is mounted."""
    provisioning = DOCKER / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards/farm.yaml").read_text())["providers"]
    [dashboard] = [one for one in SERVICES["grafana"]["volumes"] if "dashboard.json" in one]
    assert dashboard.split(":")[1].startswith(provider["options"]["path"])


def test_prometheus_reads_its_settings() -> None:
    """With the rules beside them; it asks every node that answers to the name of the service."""
    config = DOCKER / "prometheus/prometheus.yml"
    checked = subprocess.run(
        ["promtool", "check", "config", str(config)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rule files found" in checked.stdout
    [job] = yaml.safe_load(config.read_text())["scrape_configs"]
    [names] = job["dns_sd_configs"]
    assert (names["names"], names["port"]) == (["farm"], int(ENVIRONMENT["FARM_METRICS_PORT"]))


@pytest.fixture
def records() -> Iterator[PostgresServer]:
    """Start a PostgreSQL."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Open a shop."""
    with serve_shop_in_thread() as opened:
        yield opened
    end_all()


def healthcheck(port: str) -> int:
    """Return what the container's check of a farm's health ends with."""
    line = [sys.executable, str(DOCKER / "healthcheck.py")]
    return subprocess.run(line, env={"FARM_METRICS_PORT": port}, check=False, timeout=60).returncode


@pytest.mark.slow
def test_two_nodes_work_by_the_commands_of_the_services(
    records: PostgresServer, shop: Shop, tmp_path: Path
) -> None:
    """Over one Redis, into one table, healthy while they run; told to stop, they end."""
    socket = tmp_path / "s"
    redis = subprocess.Popen(
        [
            *SERVICES["redis"]["command"],
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        until(socket.exists, "Redis", 20)
        own = {
            "FARM_REDIS": f"unix://{socket}",
            "FARM_SINK": records.url(),
            "FARM_METRICS_HOST": "127.0.0.1",
            # What the test's machine is and a container is not.
            "FARM_ALLOW_NETWORK": "127.0.0.0/8",
            "FARM_CONTEXTS": "2",
            "FARM_LIVE": "off",
        }
        nodes: list[Running] = []
        for name in ("a", "b"):
            out = tmp_path / name
            node = {**own, "FARM_OUTPUT": str(out), "FARM_METRICS_PORT": "0"}
            command = [shop.url if part.startswith("https:") else part for part in COMMAND]
            nodes.append(start(*command, folder=out, environment=ENVIRONMENT | node))
        ports = [served_at(node.folder).rpartition(":")[2] for node in nodes]
        assert [healthcheck(port) for port in ports] == [0, 0]
        with psycopg.connect(records.url(), autocommit=True) as database:

            def has_pages() -> bool:
                rows = database.execute("SELECT count(*) FROM pages").fetchone()
                return rows is not None and rows[0] >= 10

            until(lambda: database.execute("SELECT to_regclass('pages')").fetchone() != (None,), "a table")
            until(has_pages, "pages")
        for one in nodes:
            one.signal(signal.SIGTERM)
        assert [one.finish().code for one in nodes] == [143, 143]
        assert healthcheck(ports[0]) == 1
    finally:
        redis.kill()
        redis.wait(10)


def test_where_nothing_is_served_nothing_is_asked() -> None:
    """A container that exports records is not unwell."""
    assert healthcheck("") == 0

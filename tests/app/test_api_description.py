"""The API as its OpenAPI document describes it, tried by schemathesis on a crawl in a real Redis."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from farm import __version__
from farm.app.operations import FrontierOperations
from farm.app.preflight import preflight
from farm.app.session import open_session
from farm.frontier import keys
from farm.frontier.frontier import RedisFrontier
from farm.model.clock import SystemClock
from farm.model.outcome import Bury, FailedVisit, FailureKind
from farm.model.task import Lease, LeaseRequest
from farm.monitor import rest_api
from farm.monitor.api_description import PREFIX
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.rest_api import RestApi, in_the_loop
from farm.monitor.tally import Tally
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings

TOKEN = "a-token-of-some-length"
EXAMPLES = "10"
WITHIN_S = 120.0
# Whether a text is a URL no schema says.
CONFIGURATION = """
[[operations]]
include-name = "POST /api/v1/urls"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]
"""


async def _bury(frontier: RedisFrontier, number: int) -> None:
    """Give a URL up, with a history."""
    lease = await frontier.lease(LeaseRequest("s", f"r{number}"))
    assert isinstance(lease, Lease)
    visit = FailedVisit("tls", "refused", node="n", timings_ms={"total": 5}, snapshot=("snapshots/a.jpg",))
    await frontier.nack(lease, Bury(FailureKind.TLS, "refused \u202e\x1b[2J"), visit)


async def test_the_api_does_what_its_description_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whatever is sent: no error of its own, only answers that are described, and nothing without the token."""
    monkeypatch.setattr(rest_api, "_WRONG_S", 0.0)
    reaper, loop = Reaper(), asyncio.get_running_loop()
    try:
        urls = tuple(f"http://a.example/{number}" for number in range(8))
        plan = preflight(RunSettings(urls=urls, output=tmp_path / "out"))
        async with open_session(plan, reaper) as session:
            frontier, crawl = session.frontier, session.crawl
            for number in range(4):
                await _bury(frontier, number)
            # Such as a crawl by `--render auto` has.
            client = frontier.shards.client
            sums = ("pages:fetch", 900, "share:50", 900, "audits", 40)
            await client.command("HSET", keys.prefix(crawl) + "tiers", *sums)
            api = RestApi(FrontierOperations(crawl, frontier), TOKEN, in_the_loop(loop))
            clock = SystemClock()
            tally = Tally(clock.monotonic())
            async with MetricsServer(
                tally.snapshot, clock, __version__, "127.0.0.1", 0, "a", TOKEN, None, api
            ) as server:
                tried = await asyncio.to_thread(_tried, server.page_url, tmp_path)
    finally:
        reaper.close()
    assert tried.returncode == 0, tried.stdout
    assert "8 passed" in tried.stdout, tried.stdout


def _tried(page_url: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run schemathesis on the API below a URL; return what it says."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    options = {
        "phases": "examples,coverage,fuzzing,stateful",
        "max-examples": EXAMPLES,
        "seed": "1",
        "header": f"Authorization: Bearer {TOKEN}",
    }
    return subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            folder / "schemathesis.toml",
            "run",
            f"{page_url.rstrip('/')}{PREFIX}/openapi.json",
            *(part for name, value in options.items() for part in (f"--{name}", value)),
            "--generation-deterministic",
            "--continue-on-failure",
        ],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        cwd=folder,
    )

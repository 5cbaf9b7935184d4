"""Wrong input: one sentence with the remedy, the exit code of the contract, and nothing half-created."""

import os
import subprocess
from pathlib import Path

import pytest

from farm.browser.chromium import find_browser
from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import FARM, read_lines, start

SHOP = "http://127.0.0.1:9/"
TABLE = [
    (["run"], 2, "give a URL"),
    (["run", "not a url"], 2, "http"),
    (["run", "ftp://shop.example/"], 2, "http"),
    (["run", SHOP, "--seeds", "no-such-file"], 2, "--seeds"),
    (["run", SHOP, "--contexts", "0"], 2, "--contexts"),
    (["run", SHOP, "--contexts", "many"], 2, "--contexts"),
    (["run", SHOP, "--scope", "galaxy"], 2, "--scope"),
    (["run", SHOP, "--no-such-flag"], 2, "--no-such-flag"),
    (["run", SHOP, "--memory", "lots"], 2, "6GiB"),
    (["run", SHOP, "--ramp-up", "soon"], 2, "10m"),
    (["run", SHOP, "--page-timeout", "0s"], 2, "--page-timeout"),
    (["run", SHOP, "--include", "("], 2, "--include"),
    (["run", SHOP, "--exclude", "["], 2, "--exclude"),
    (["run", SHOP, "--block", "ads"], 2, "trackers"),
    (["run", SHOP, "--viewport", "big"], 2, "1280x800"),
    (["run", SHOP, "--wait", "a while"], 2, "--wait"),
    (["run", SHOP, "--wait", "css:"], 2, "--wait"),
    (["run", SHOP, "--click-times", "0"], 2, "--click-times"),
    (["run", SHOP, "--scroll", "far"], 2, "--scroll"),
    (["run", SHOP, "--header", "nothing"], 2, "Name: value"),
    (["run", SHOP, "--storage-state", "no-such-file"], 2, "--storage-state"),
    (["run", SHOP, "--locale", "Swiss German"], 2, "--locale"),
    (["run", SHOP, "--timezone", "Mars/Olympus"], 2, "Europe/Berlin"),
    (["run", SHOP, "--max-download", "much"], 2, "20GiB"),
    (["run", SHOP, "--viewport", "00x00"], 2, "1280x800"),
    (["run", SHOP, "--depth", "-1"], 2, "--depth"),
    (["run", SHOP, "--contexts", "1000000"], 2, "--contexts"),
    (["run", SHOP, "--memory", "50MiB"], 2, "--memory"),
    (["run", SHOP, "--memory", "500TiB"], 2, "this machine"),
    (["run", SHOP, "--max-disk", "50%"], 2, "20GiB"),
    (["run", SHOP, "--file-mode", "0755"], 2, "0640"),
    (["run", SHOP, "--context", "4"], 2, "--contexts?"),
    (["run", SHOP, "--allow-network", "everything"], 2, "CIDR[:port]"),
    (["run", SHOP, "--ca-file", "no-such-file"], 2, "--ca-file"),
    (
        ["run", SHOP, "--proxies", "p.txt", "--proxy-rate", "1/s", "--proxy-rotation", "site"],
        2,
        "take context or page",
    ),
    (["run", SHOP, "--rate", "fast"], 2, "5/s"),
    (["plan", "--pages", "9", "--page-time", "soon"], 2, "10m"),
    (["run", SHOP, "--redis", "memcached://127.0.0.1"], 2, "--redis"),
    (["run", SHOP, "--redis", "redis://127.0.0.1:9", "--redis-patience", "1s"], 3, "Redis"),
    (["run", SHOP, "--browser", "/no/such/browser"], 4, "chromium"),
    (["run", SHOP, "--output", "/proc/farm"], 6, "--output"),
    (["status", "--output", "nowhere"], 2, "nowhere"),
    (["fly"], 2, "farm --help"),
    (["version", "now"], 2, "no arguments"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), TABLE, ids=[" ".join(row[0])[:60] for row in TABLE])
def test_wrong_input_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """No traceback, no folder."""
    finished = start(*arguments, folder=tmp_path / "out").finish(timeout_s=30)
    assert finished.code == code, finished.output
    assert finished.output.startswith("farm: "), finished.output
    assert finished.output.count("\n") == 1, finished.output
    assert said in finished.output
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_a_browser_ends_with_4(tmp_path: Path) -> None:
    """And with what to install."""
    empty = {"PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    finished = start("run", SHOP, folder=tmp_path / "out", environment=empty).finish()
    assert finished.code == 4
    assert "chromium-headless-shell" in finished.output


def test_a_machine_without_redis_ends_with_3(tmp_path: Path) -> None:
    """And with what to install; a browser is there."""
    flags = ("--browser", str(find_browser().path), "--output", str(tmp_path / "out"))
    finished = start("run", SHOP, *flags, folder=tmp_path / "out", environment={"PATH": "/nowhere"}).finish()
    assert finished.code == 3, finished.output
    assert "redis-server" in finished.output


def test_settings_come_from_flags_then_environment_then_file(tmp_path: Path) -> None:
    """The contract's precedence, seen by what is wrong."""
    (tmp_path / "farm.toml").write_text('contexts = "file"\n')

    def complaint(*flags: str, **environment: str) -> str:
        return start("run", SHOP, *flags, folder=tmp_path / "out", environment=environment).finish().output

    assert "--contexts file" in complaint()
    assert "--contexts environment" in complaint(FARM_CONTEXTS="environment")
    assert "--contexts flag" in complaint("--contexts", "flag", FARM_CONTEXTS="environment")


def test_a_key_of_the_file_that_means_nothing_is_named(tmp_path: Path) -> None:
    """A typing error must not be silently without effect."""
    (tmp_path / "farm.toml").write_text("contxts = 3\n")
    finished = start("run", SHOP, folder=tmp_path / "out").finish()
    assert finished.code == 2
    assert "contxts" in finished.output


def test_help_names_every_option_of_the_contract(tmp_path: Path) -> None:
    """Each with its default."""
    environment = {"COLUMNS": "120", **os.environ}
    finished = start("run", "--help", folder=tmp_path / "out", environment=environment).finish()
    assert finished.code == 0
    for flag in ("--contexts", "--no-sandbox", "--allow-network", "--no-html", "--fresh", "--time-limit"):
        assert flag in finished.output


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_standard_streams_are_closed_is_a_run(tmp_path: Path, closed: str) -> None:
    """A file or a socket must not get their numbers: what is printed would go there, and an event loop aborts."""
    folder = tmp_path / "out"
    with serve_shop_in_thread() as shop:
        arguments = (
            "run",
            shop.url,
            "--depth",
            "0",
            "--output",
            str(folder),
            "--allow-network",
            "127.0.0.0/8",
        )
        shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *FARM, *arguments, "--contexts", "1"]
        code = subprocess.run(shell, check=False, capture_output=True, timeout=90, cwd=tmp_path).returncode
    assert code == 0
    assert len(read_lines(folder / "pages.jsonl")) == 1

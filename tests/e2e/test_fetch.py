"""`farm fetch`: one page on standard output, and nothing else."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from fixtures.sites import serving
from tests.e2e.farm_process import FARM

PAGE = """<!doctype html><title>Bread</title><h1>Bread</h1><a href="/more">more</a>
<script>document.body.append("baked by script, für alle")</script>"""


def fetch(
    folder: Path, *arguments: str, network: str = "127.0.0.0/8", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `farm fetch` in the folder; temporary files are made in it too."""
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [*FARM, "fetch", "--no-sandbox", "--allow-network", network, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), **environment},
    )


def test_the_text_is_all_that_is_printed(tmp_path: Path) -> None:
    """Of the page as scripts have made it; nothing is left in the folder, nor among temporary files."""
    with serving(PAGE, "text/html; charset=utf-8") as url:
        done = fetch(tmp_path, url, FARM_REDIS="redis://127.0.0.1:1/", FARM_OUTPUT="elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Bread\nmore baked by script, für alle\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("farm-")]


def test_html_and_record_are_printed_when_asked_for(tmp_path: Path) -> None:
    """The record is that of a crawl, on one line; its links are there though none is followed."""
    with serving(PAGE, "text/html; charset=utf-8") as url:
        html = fetch(tmp_path, "--html", url)
        record = fetch(tmp_path, "--json", url)
    assert "<h1>Bread</h1>" in html.stdout
    assert "baked by script, für alle</body>" in html.stdout
    fields = json.loads(record.stdout)
    assert record.stdout.count("\n") == 1
    assert (fields["url"], fields["status"], fields["title"]) == (url, 200, "Bread")
    assert fields["links"] == [{"url": f"{url}more", "text": "more", "rel": ""}]


def test_a_page_that_is_not_there_is_said_and_printed(tmp_path: Path) -> None:
    """404 is an answer: what the page shows is on standard output, that it is an error on standard error."""
    with serving("") as url:
        done = fetch(tmp_path, "--json", f"{url}gone")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == 404
    assert done.stderr == f"farm: {url}gone answered 404.\n"


@pytest.mark.parametrize(
    ("network", "code", "remedy"),
    [
        ("10.0.0.0/8", 8, "--allow-network 127.0.0.0/8.\n"),
        ("127.0.0.0/8", 8, "was given up (network: 127.0.0.1:1: Connection refused).\n"),
    ],
)
def test_a_page_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, network: str, code: int, remedy: str
) -> None:
    """With the remedy, and without a word of a folder that is gone."""
    done = fetch(tmp_path, "--retries", "0", "http://127.0.0.1:1/", network=network)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("farm: not one page was recorded: http://127.0.0.1:1/")
    assert done.stderr.endswith(remedy)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "0 URLs were given; give one"),
        (("http://a.example/", "http://b.example/"), "2 URLs were given; give one"),
        (("--html", "--json", "http://a.example/"), "--html and --json exclude each other"),
        (("--pdf", "http://a.example/"), "write `farm run --scope page --pdf`"),
        (("--har", "http://a.example/"), "write `farm run --scope page --har`"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    """Before anything is started."""
    done = fetch(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    """By a limit with work left: 5, and a sentence."""
    with serving("<script>while (true);</script>") as url:
        done = fetch(tmp_path, "--time-limit", "1s", url)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == f"farm: {url} was not rendered within 1 s; give a longer --time-limit.\n"

"""`farm shell`: a prompt with a page that is open in the browser."""

import os
import subprocess
from pathlib import Path

from fixtures.sites import serving
from tests.e2e.farm_process import FARM

PAGE = """<!doctype html><title>Bread</title><h1>Bread</h1><p id=n>1</p>
<script>document.body.append("baked by script")</script>"""
LINES = """\
[one.text for one in page.css("h1")], "baked by script" in page.text
live = await page.live()
await live.evaluate("document.title = 'Rye'; document.title.length")
await live.title()
async def twice():
    return 2 * len(await live.title())

await twice()
page.status / 0
page.css("h1::text")
fetch("a.example")
page.title
fetch("http://127.0.0.1:1/")
page
fetch(NEXT)
await (await page.live()).title()
exit()
print("not reached")
"""


def shell(folder: Path, lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `farm shell` with these lines as its input."""
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [*FARM, "shell", "--no-sandbox", "--allow-network", "127.0.0.0/8", "--retries", "0", *arguments],
        input=lines,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        check=False,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
    )


def test_a_page_is_read_and_used_at_the_prompt(tmp_path: Path) -> None:
    """Its parsed HTML, the live page with `await`, and another page in its place; nothing is left behind."""
    with serving(PAGE, "text/html; charset=utf-8") as url:
        done = shell(tmp_path, LINES.replace("NEXT", repr(url)), url)
    assert done.returncode == 0, done.stderr
    first, *said = done.stdout.splitlines()
    assert first == f"200 {url} Bread"
    assert said == ["(['Bread'], True)", "3", "'Rye'", "6", "'Bread'", f"200 {url} Bread", "'Bread'"]
    assert "ZeroDivisionError" in done.stderr
    assert "ValueError: `h1::text` is not a CSS selector" in done.stderr
    assert "/farm/" not in done.stderr
    assert 'farm: "a.example" has no scheme' in done.stderr
    assert "farm: not one page was recorded: http://127.0.0.1:1/ was given up" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("farm-")]


def test_a_page_that_does_not_come_is_one_sentence(tmp_path: Path) -> None:
    """No prompt is opened, and nothing of the input is run."""
    done = shell(tmp_path, "print('read')\n", "http://127.0.0.1:1/")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("farm: not one page was recorded: http://127.0.0.1:1/")
    assert done.stderr.count("\n") == 1


def test_an_option_that_makes_files_is_refused(tmp_path: Path) -> None:
    """They would go with the folder of the one page."""
    done = shell(tmp_path, "", "--screenshot", "http://a.example/")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--screenshot makes files, and this command keeps none" in done.stderr

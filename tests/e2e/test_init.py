"""`farm init`: the project that it writes runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import farm, read_lines, start
from tests.tree import ROOT

GIVEN = {"FARM_ALLOW_NETWORK": "127.0.0.0/8", "FARM_RAMP_UP": "0s", "FARM_CONTEXTS": "2", "FARM_LIMIT": "5"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a new project."""
    done = farm("init", "my shop", folder=tmp_path / "my shop")
    assert done.code == 0, done.output
    assert done.output.endswith("go on with:\n  cd 'my shop'\n  farm run\n")
    return tmp_path / "my shop"


def test_a_new_project_crawls(project: Path) -> None:
    """From the URL that it was made for, with nothing but `farm run`; its handler's items are there."""
    with serve_shop_in_thread() as shop:
        assert farm("init", ".", shop.url, folder=project / "out").code == 2
        assert farm("init", "there", shop.url, folder=project).code == 0
        done = start("run", folder=project.parent / "there/out", environment=GIVEN).finish()
    assert done.code == 5, done.output
    items = read_lines(project.parent / "there/out/items.jsonl")
    assert [(one["_kind"], one["title"]) for one in items if one["_url"] == shop.url] == [
        ("article", items[0]["title"])
    ]
    assert len(items) == 5
    assert all(one["headings"] for one in items)


def test_what_is_there_is_not_written_over(project: Path) -> None:
    """Not one file is written then."""
    (project / "README.md").write_text("mine")
    (project / "seeds.txt").unlink()
    again = farm("init", ".", folder=project / "out")
    assert again.code == 2
    assert (
        "my shop has .dockerignore, .gitignore, Dockerfile already, and nothing was written" in again.output
    )
    assert (project / "README.md").read_text() == "mine"
    assert not (project / "seeds.txt").exists()


def test_the_tests_of_a_new_project_pass(project: Path) -> None:
    """Without a browser, and whatever the folder is called."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout
    handler = project / "crawl.py"
    handler.write_text(handler.read_text().replace("h1, h2", "h3"))
    broken = subprocess.run(
        [*run.args], cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert broken.returncode == 1


def test_the_image_of_a_new_project_has_what_the_farm_needs(project: Path) -> None:
    """The system's packages of the farm's own image, and files that the project has."""
    recipe = (project / "Dockerfile").read_text()
    steps = (ROOT / "docker/install.sh").read_text()
    needed = re.findall(
        r"\b(ca-certificates|chromium-headless-shell|fonts-liberation|redis-server|tini)\b", steps
    )
    assert set(needed) <= set(recipe.split())
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", recipe, re.MULTILINE)
    assert all((project / name).is_file() for line in copied for name in line.split())

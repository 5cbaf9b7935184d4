"""Every example in Python of the documents runs, but for the address of the shop, and has its types."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.tree import ROOT

DOCUMENTS = ("docs/python.md", "docs/migration.md", "README.md")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {
    f"{name}:{text.count(chr(10), 0, found.start()) + 1}": found[1]
    for name in DOCUMENTS
    for text in [(ROOT / name).read_text("utf-8")]
    for found in _BLOCK.finditer(text)
}


@pytest.mark.parametrize("place", EXAMPLES)
def test_an_example_runs(place: str, shop: Shop, tmp_path: Path) -> None:
    """As a script in a folder of its own; it ends without an error and says something."""
    (tmp_path / "example.py").write_text(EXAMPLES[place].replace("https://shop.example/", shop.url))
    given = {"FARM_ALLOW_NETWORK": "127.0.0.0/8", "FARM_RAMP_UP": "0s", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout, "it prints nothing: what it does cannot be seen"
    assert "could not" not in run.stdout


def test_the_examples_have_their_types(tmp_path: Path) -> None:
    """By mypy, as strict as for the product."""
    assert len(EXAMPLES) >= len(DOCUMENTS)
    for number, text in enumerate(EXAMPLES.values()):
        (tmp_path / f"example_{number}.py").write_text(text)
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={tmp_path}/cache",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_api_and_the_examples_have_their_types_for_pyright_too(tmp_path: Path) -> None:
    """In its strict mode, as editors show them; an example with a wrong option is not accepted."""
    for number, text in enumerate(EXAMPLES.values()):
        (tmp_path / f"example_{number}.py").write_text(text)
    (tmp_path / "wrong.py").write_text("from farm import Farm\n\nFarm(contexts='many')\n")
    config = {
        "include": [str(tmp_path), str(ROOT / "farm/api"), str(ROOT / "farm/__init__.py")],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    run = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(tmp_path), "--outputjson"],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(run.stdout)
    assert said["summary"]["filesAnalyzed"] > len(EXAMPLES) + 10
    wrong = [one for one in said["generalDiagnostics"] if one["severity"] == "error"]
    assert [(Path(one["file"]).name, one["rule"]) for one in wrong] == [("wrong.py", "reportArgumentType")], (
        wrong
    )

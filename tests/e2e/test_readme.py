"""The commands of the README, one after the other, as a reader types them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fixtures.shop import Shop
from tests.tree import ROOT

pytestmark = pytest.mark.slow
DECLARATION = """
[item.product]
url = "/p/*"

[item.product.fields]
name = { css = "h1", required = true }
"""
ELSEWHERE = ("farm top ", "FARM_REDIS=")
"""What needs a terminal, or a server of the reader's own."""
SHORT = {"FARM_LIMIT": "4", "FARM_TIME_LIMIT": "15s", "FARM_CONTEXTS": "2", "FARM_RAMP_UP": "0s"}


def commands() -> list[str]:
    """Return the lines of the section, without what is said of them."""
    _, _, section = (ROOT / "README.md").read_text("utf-8").partition("## Use it\n")
    lines = re.findall(r"^ {4}(.+)$", section.partition("\n#")[0], re.MULTILINE)
    return [re.sub(r"\s{2,}#.*", "", line) for line in lines]


def test_the_commands_of_the_readme_work(shop: Shop, tmp_path: Path) -> None:
    """Each ends as it does for a crawl that is not finished; a limit is put where a reader has none."""
    (tmp_path / "urls.txt").write_text(f"{shop.url}\n")
    (tmp_path / "shop.toml").write_text(DECLARATION)
    typed = [line for line in commands() if not line.startswith(ELSEWHERE)]
    assert len(typed) >= 9
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in typed:
        here = line.replace("https://shop.example/", shop.url)
        here = here.replace("crawls/shop.example", f"crawls/{urlsplit(shop.url).netloc.replace(':', '_')}")
        is_run = here.startswith("farm run ")
        given = {"PATH": path, "FARM_ALLOW_NETWORK": "127.0.0.0/8", **(SHORT if is_run else {})}
        done = subprocess.run(
            ["bash", "-c", here],
            cwd=tmp_path,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = f"{here}\n{done.stdout}{done.stderr}"
        assert done.returncode in ({0, 5} if is_run else {0}), said
        assert "Traceback" not in said
    assert (tmp_path / "shop.csv").read_text("utf-8").startswith("id,url,")

"""Standard streams that are closed: nothing that is printed may end in a file of records."""

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.e2e.farm_process import FARM, read_lines

CLOSE = """
import os, sys
for number in map(int, sys.argv[1].split(",")):
    os.close(number)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("closed", ["0", "1", "2", "0,1,2"])
def test_a_closed_stream_costs_nothing(shop: Shop, out: Path, closed: str) -> None:
    """The crawl is made, each record is a line, and the log has everything."""
    flags = ("--allow-network", "127.0.0.0/8", "--contexts", "1", "--ramp-up", "0s", "--output", str(out))
    done = subprocess.run(
        [sys.executable, "-c", CLOSE, closed, *FARM, "run", shop.url, "--scope", "page", *flags],
        cwd=out.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr + (out / "farm.log").read_text()
    assert [record["status"] for record in read_lines(out / "pages.jsonl")] == [200]
    assert "1 page recorded" in (out / "farm.log").read_text()

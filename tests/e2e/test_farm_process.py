"""A farm as tests watch it: its output is read as it comes, and what it has half written is left out."""

import sys
from pathlib import Path

from tests.e2e.farm_process import Finished, logged, start, until

PRINTS = "import os, sys; print('x' * 300_000, flush=True); os.execv(sys.argv[1], sys.argv[1:])"


def test_a_farm_that_prints_much_comes_to_its_end(out: Path) -> None:
    """A pipe holds 64 KiB, and a test may look at the end alone."""
    running = start("version", folder=out, prefix=(sys.executable, "-c", PRINTS))
    until(lambda: running.process.poll() is not None, "its end")
    assert len(running.finish().output) > 300_000


def test_what_is_half_written_is_left_out(out: Path) -> None:
    """The last line of the records, and half of a character in the log."""
    assert (Finished(0, "", out).records, logged(out)) == ([], "")
    out.mkdir()
    (out / "pages.jsonl").write_bytes(b'{"url": "a"}\n{"url": "b')
    (out / "farm.log").write_bytes("one\nü".encode()[:-1])
    assert Finished(0, "", out).urls == ["a"]
    assert logged(out).startswith("one\n")

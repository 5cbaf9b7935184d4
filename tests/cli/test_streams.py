"""What is printed at the end of a run."""

import os
import subprocess
import sys

SOURCE = "from farm.cli.streams import print_lines; print_lines(['one', 'two' * 100000]); raise SystemExit(5)"


def test_lines_are_printed() -> None:
    """On standard output."""
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 5
    assert done.stdout.startswith("one\ntwo")


def test_what_a_terminal_cannot_encode_is_escaped() -> None:
    """The lines after it are printed too."""
    source = (
        "from farm.cli.streams import open_standard_streams, print_lines; open_standard_streams();"
        "print_lines(['caf\\xe9 \\u2026 \\udce9', 'two'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        timeout=60,
        check=True,
    )
    assert done.stdout == b"caf\xe9 \\u2026 \\udce9\ntwo\n"


def test_a_reader_that_has_gone_changes_no_exit_code() -> None:
    """The terminal was closed, or `farm run | head` has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (5, b"")

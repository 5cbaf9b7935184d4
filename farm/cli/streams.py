"""Standard input, output and error, which may be closed or lost."""

import contextlib
import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper

from farm.monitor.figures import escaped


def open_standard_streams() -> None:
    """Open the null device for each closed standard stream, and escape what standard output cannot encode.

    Otherwise the next file that is opened, such as a log of records, would get its number, and every line that
    this program or its processes print would be written into that file. A terminal without UTF-8 has no place for
    some letters of a page's title, and a file's name may be no text at all.
    """
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            opened = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            os.set_inheritable(opened, True)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def tell(sentence: str) -> None:
    """Print a sentence on standard error: on one line, without terminal control characters.

    Earlier output comes before it, even if both streams go into one file.
    """
    print_lines(())
    with contextlib.suppress(OSError, ValueError):
        print(f"farm: {escaped(sentence)}", file=sys.stderr, flush=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print the lines on standard output; errors of a closed output are ignored."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except (OSError, ValueError):
        # What waits in the buffer is tried again when the program ends, and would make another exit code of it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)

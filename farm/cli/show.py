"""Printing for people, whatever has become of the terminal meanwhile."""

import contextlib
import os
import sys
from collections.abc import Iterable

from farm.monitor.figures import escaped


def tell(sentence: str) -> None:
    """Print a sentence on standard error: on one line, with nothing in it that a terminal would act on."""
    with contextlib.suppress(OSError, ValueError):
        print(f"farm: {escaped(sentence)}", file=sys.stderr, flush=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print the lines on standard output; nobody is told where it is closed or gone."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except (OSError, ValueError):
        # What waits in the buffer is tried again when the program ends, and would make another exit code of it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)

"""Standard input, output and error, whatever whoever started the program has left of them."""

import os
import sys


def open_standard_streams() -> None:
    """Put the null device where a standard stream is closed.

    Otherwise the next file that is opened, a log of records perhaps, would get its number, and every line that
    is printed, by any process started from here, would go into that file.
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

"""`farm version`."""

from collections.abc import Sequence

from farm import __version__
from farm.model.errors import UsageError


def main(arguments: Sequence[str]) -> int:
    """Print the version."""
    if arguments and arguments[0] in {"-h", "--help"}:
        print("usage: farm version\n\nPrint the version.")
        return 0
    if arguments:
        raise UsageError(f"`farm version` takes no arguments ({arguments[0]!r} was given).")
    print(f"farm {__version__}")
    return 0

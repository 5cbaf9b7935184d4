"""`farm version`."""

from collections.abc import Sequence

from farm import __version__
from farm.model.errors import UsageError


def main(arguments: Sequence[str]) -> int:
    """Print the version."""
    if arguments:
        raise UsageError(f"`farm version` takes no arguments ({arguments[0]!r} was given).")
    print(f"farm {__version__}")
    return 0

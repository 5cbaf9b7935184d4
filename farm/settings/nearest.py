"""The name that was probably meant, where one is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

_LIKE = 0.66
_LONGEST = 64


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like it; None where none is."""
    # What nobody could have meant is not compared: the cost grows with the square of the length.
    found = get_close_matches(name, list(known), n=1, cutoff=_LIKE) if len(name) <= _LONGEST else []
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """Return ` (did you mean X?)`, or nothing; `before` is put before the name that is suggested."""
    found = nearest(name, known)
    return f" (did you mean {before}{found}?)" if found else ""

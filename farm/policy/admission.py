"""How many slots may work now: the smallest of the limits, and which one it was."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """`limit` slots may take work; `binding` names the limit that says so."""

    limit: int
    binding: str


def admit(limits: Mapping[str, int]) -> Admission:
    """Take the smallest limit; of equal ones the first named binds, so order them by what to tell a user.

    Raises ValueError when no limit is given.
    """
    binding = min(limits, key=lambda name: limits[name])
    return Admission(max(0, limits[binding]), binding)

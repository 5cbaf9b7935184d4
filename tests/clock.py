"""A clock that a test moves by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class ManualClock:
    """A clock that stands until it is moved."""

    now: float = 0.0

    def monotonic(self) -> float:
        """Return what it was set to."""
        return self.now

    def wall(self) -> datetime:
        """Return a moment of no importance."""
        return datetime(2026, 3, 1, tzinfo=UTC)

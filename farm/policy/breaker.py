"""A circuit breaker over launches: a browser that cannot live must end the run, not spin it.

After "Release It!" (M. Nygard, 2007): consecutive failures open the circuit; each one before that
lengthens the pause.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerParams:
    """`failures` in a row open the circuit; the pause doubles from `base_s` to `cap_s`."""

    failures: int = 5
    base_s: float = 0.25
    cap_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """The number of failures since the last success."""

    failed: int = 0

    def is_open(self, params: BreakerParams) -> bool:
        """Whether to give up."""
        return self.failed >= params.failures

    def pause_s(self, jitter: float, params: BreakerParams) -> float:
        """Return the pause before the next try, jittered; zero when nothing failed."""
        if self.failed == 0:
            return 0.0
        return float(min(params.cap_s, params.base_s * 2 ** (self.failed - 1)) * (0.5 + 0.5 * jitter))

    def after(self, *, success: bool) -> "Breaker":
        """Count one more launch."""
        return Breaker(0 if success else self.failed + 1)

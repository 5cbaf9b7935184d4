"""How often a call is repeated that fails in a way that passes, and how long it waits in between."""

import pytest
from redis import exceptions as redis_errors
from tenacity import AsyncRetrying, RetryCallState

from farm.frontier.client import FIRST_WAIT_S, LONGEST_WAIT_S, REPETITION_WAIT, RedisClient
from farm.model.errors import FrontierUnavailable


class _Failing:
    """In place of redis-py's client: fails as often as it is told to, in a way that passes."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls = 0

    async def execute_command(self, *_: object) -> bytes:
        """Fail, or answer."""
        self.calls += 1
        if self.calls <= self.times:
            raise redis_errors.TryAgainError("TRYAGAIN later")
        return b"PONG"


@pytest.mark.parametrize(
    ("patience_s", "times", "calls"), [(0.0, 1, 1), (1e-9, 1, 2), (1e-9, 5, 2), (60.0, 3, 4)]
)
async def test_a_call_is_repeated_as_its_patience_allows(patience_s: float, times: int, calls: int) -> None:
    """Not at all without patience, once with the least of it, which must outlive an idle connection's end."""
    failing = _Failing(times)
    client = RedisClient(failing, "redis://a", patience_s=patience_s)
    if times < calls:
        assert await client.command("PING") == b"PONG"
    else:
        with pytest.raises(FrontierUnavailable, match="TRYAGAIN"):
            await client.command("PING")
    assert failing.calls == calls


def test_later_repetitions_come_further_apart() -> None:
    """`FIRST_WAIT_S` at most after the first, then twice as much, never more than `LONGEST_WAIT_S`."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    longest = []
    for state.attempt_number in range(1, 12):
        longest.append(max(REPETITION_WAIT(state) for _ in range(200)))
    for waited, most in zip(longest, [FIRST_WAIT_S * 2**n for n in range(11)], strict=True):
        assert min(most, LONGEST_WAIT_S) * 0.5 < waited <= min(most, LONGEST_WAIT_S)

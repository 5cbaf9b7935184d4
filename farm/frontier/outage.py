"""Whether Redis answers, as the calls find out: an outage is reported once, and so is its end.

A connection that was dropped and made again in a moment is no outage: nothing is reported until no call has been
answered for a second.
"""

from collections.abc import Callable

from farm.model.event import RedisAway, RedisBack

TELL_AFTER_S = 1.0


class Outage:
    """`tell` receives the events; until it is set they are dropped."""

    def __init__(self, place: str, monotonic: Callable[[], float]) -> None:
        self.tell: Callable[[RedisAway | RedisBack], None] = lambda _: None
        self._place = place
        self._monotonic = monotonic
        self._since: float | None = None
        self._is_told = False

    def failed(self, begun: float, reason: str) -> None:
        """Note a call, made at `begun`, that failed with a transient error."""
        now = self._monotonic()
        if self._since is None:
            self._since = begun
        if not self._is_told and now - self._since >= TELL_AFTER_S:
            self._is_told = True
            text = f"Redis at {self._place} is away ({reason}); leasing is paused until it is back"
            self.tell(RedisAway(now, self._since, text))

    def answered(self) -> None:
        """Note a call that was answered."""
        if self._since is None:
            return
        now, since, was_told = self._monotonic(), self._since, self._is_told
        self._since, self._is_told = None, False
        if was_told:
            self.tell(RedisBack(now, f"Redis is back after {now - since:.0f} s; leasing goes on"))

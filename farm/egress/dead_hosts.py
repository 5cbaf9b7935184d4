"""Hosts that were not reached, remembered for a while: a page need not wait again for what the page before missed.

Pure: `now` is a monotonic clock's. A name is kept by itself, a port of a host as `host:port`. A failure that is
certain (the name does not exist, the port refuses) is remembered from the first on, one that may pass (no answer
in time) from the second in a row. Invariants: a failure is remembered for `first_s`, and twice as long each time
that it is found anew after that, up to `longest_s`; when its time is over one caller tries, and the others get the
remembered failure until that one is back or `probe_s` is over; a connection that opens forgets it. At most
`MOST_HOSTS` are kept, and the one that was not asked for longest goes first.
"""

from collections import OrderedDict
from dataclasses import dataclass

from farm.model.egress import EgressFailure

MOST_HOSTS = 1024


@dataclass(slots=True)
class _Dead:
    """A failure that was found `at`, and answers callers before `until` or while one of them tries again."""

    failure: EgressFailure
    at: float
    spell_s: float
    until: float
    trying_until: float = 0.0


class DeadHosts:
    """The table; `key` is a name, or `host:port`."""

    def __init__(self, first_s: float, longest_s: float, probe_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._probe_s = probe_s
        self._dead: OrderedDict[str, _Dead] = OrderedDict()

    def __len__(self) -> int:
        """Return how many failures are kept."""
        return len(self._dead)

    def recall(self, key: str, now: float) -> EgressFailure | None:
        """Return the remembered failure; None if the caller is to try, and to say how that ended."""
        dead = self._dead.get(key)
        if dead is None or dead.spell_s == 0:
            return None
        self._dead.move_to_end(key)
        if now < max(dead.until, dead.trying_until):
            return dead.failure
        dead.trying_until = now + self._probe_s
        return None

    def failed(self, key: str, failure: EgressFailure, began: float, now: float, *, certain: bool) -> None:
        """Keep the failure of an attempt that `began` then and ended now."""
        dead = self._dead.get(key)
        if dead is None:
            spell_s = self._first_s if certain else 0.0
            self._dead[key] = _Dead(failure, now, spell_s, now + spell_s)
            if len(self._dead) > MOST_HOSTS:
                self._dead.popitem(last=False)
            return
        if began < dead.at:
            return  # the connections of one page fail together: that is one failure
        if dead.spell_s == 0:
            dead.spell_s = self._first_s
        elif now >= dead.until:
            dead.spell_s = min(2 * dead.spell_s, self._longest_s)
        dead.failure, dead.at, dead.until, dead.trying_until = failure, now, now + dead.spell_s, 0.0

    def reached(self, key: str) -> None:
        """Forget the failure: the name resolved, or the port accepted a connection."""
        self._dead.pop(key, None)

"""A lack of file descriptors: a condition of this machine, which says nothing about a site or a proxy.

Whoever gets the error tells it from others by `is_shortage`. Some do not get it: the system's resolver says only
that a name was not found, and uvloop closes a connection that it cannot accept. So a failure that nothing else
explains is followed by a look whether a descriptor can be had now.
"""

import errno
import logging
import os
from collections.abc import Callable

from farm.model.egress import EgressFailure, EgressFault

log = logging.getLogger("farm.egress")
SHORTAGE = EgressFailure(
    EgressFault.SHORTAGE,
    "this machine has no file descriptor left; raise `ulimit -n`, or give fewer --contexts",
)
SAY_EVERY_S = 60.0
_ERRORS = frozenset({errno.EMFILE, errno.ENFILE})


def is_shortage(error: BaseException) -> bool:
    """Return whether an error says that this process or the whole machine has no descriptor left."""
    return isinstance(error, OSError) and error.errno in _ERRORS


def is_short() -> bool:
    """Return whether this process can open no file now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return is_shortage(error)
    return False


class Shortages:
    """Counts how often descriptors were lacking; the log says so at most once in `SAY_EVERY_S` seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said_at: float | None = None
        self.count = 0

    def note(self) -> EgressFailure:
        """Count one more, and return it as the failure of a visit."""
        self.count += 1
        now = self._now()
        if self._said_at is None or now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            log.warning(
                "%s; visits that this fails are put off, and do not count as failures", SHORTAGE.detail
            )
        return SHORTAGE

    def since(self, count: int) -> EgressFailure | None:
        """Return the shortage if there was one since `count` was read, or is one now; else None."""
        if self.count > count:
            return SHORTAGE
        return self.note() if is_short() else None

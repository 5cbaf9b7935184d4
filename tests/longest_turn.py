"""How long a turn of an event loop keeps its thread, by the CPU time of the thread: other load does not change it.

`MeasuredLoop` is asyncio's own loop, with a measure of each turn: all that was ready when the turn began, and the
longest single callback in it by name. Use it as the loop factory of a test, or by `asyncio.Runner`. Python's
collector rests meanwhile: in the process of a whole suite it takes a quarter of a second at a time.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WORST_S = 0.25
"""What no turn may take, whatever comes from outside."""


class MeasuredLoop(asyncio.SelectorEventLoop):
    """A loop that knows its longest turn (`longest_s`) and its longest callback (`culprit`, `culprit_s`)."""

    longest_s = 0.0
    culprit_s = 0.0
    culprit = ""

    def __init__(self) -> None:
        super().__init__()
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """Close the loop, and let the collector look at all objects again."""
        gc.unfreeze()
        super().close()

    def forget(self) -> None:
        """Begin anew: what was before is somebody else's."""
        self.longest_s = self.culprit_s = 0.0
        self.culprit = ""

    def _run_once(self) -> None:
        begun = time.thread_time()
        with _timed_handles(self._note):
            super()._run_once()  # type: ignore[misc]
        self.longest_s = max(self.longest_s, time.thread_time() - begun)

    def _note(self, handle: Any, took_s: float) -> None:
        if took_s > self.culprit_s:
            self.culprit_s, self.culprit = took_s, repr(handle)

    def assert_short(self, worst_s: float = WORST_S) -> None:
        """Fail where a turn took longer, and name the callback that had most of it."""
        told = f"a turn took {self.longest_s:.3f} s of CPU; {self.culprit_s:.3f} s of it {self.culprit}"
        assert self.longest_s < worst_s, told


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep Python's collector from what is measured; to run it before takes a quarter of a second by now."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


_RUN = "_run"
_run_of_handles: Callable[[Any], None] = getattr(asyncio.Handle, _RUN)


@contextmanager
def _timed_handles(note: Callable[[Any, float], None]) -> Iterator[None]:
    def run(handle: Any) -> None:
        begun = time.thread_time()
        try:
            _run_of_handles(handle)
        finally:
            note(handle, time.thread_time() - begun)

    setattr(asyncio.Handle, _RUN, run)
    try:
        yield
    finally:
        setattr(asyncio.Handle, _RUN, _run_of_handles)

"""Renews the leases that are being worked on, from a thread that a busy event loop cannot starve.

The same thread sends the node's heartbeat every few seconds.

A lease is renewed only until its holder's own deadline: a worker that hangs longer loses the lease, and the URL
goes to another worker. A holder learns of the loss of its lease at once.

A process that was stopped and continues (SIGSTOP, a paused machine) does not know yet that it lost leases: before
a record is written, `confirm` asks Redis if the last answer is too old.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, replace

from farm.model.clock import Clock
from farm.model.crawl import Identity, NodeState
from farm.model.errors import FarmError
from farm.model.task import Lease
from farm.runtime.ports import LeaseRenewer

log = logging.getLogger("farm.heartbeat")
JOIN_S = 5.0
ALIVE_EVERY_S = 2.5
"""The interval of the node's heartbeat: several of them fit into the silence after which it is considered dead."""
CERTAIN_S = 3 * ALIVE_EVERY_S
"""How long an answer of Redis proves that leases are held: less than the silence after which a node is dead."""

_BROKEN = "nobody renews the leases of this process any more: the thread has broken"


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    until: float
    on_lost: Callable[[], None] | None


class Heartbeat:
    """A thread that renews leases in batches, every third of the visibility timeout.

    With a `node` it also sends that node's heartbeat; `replaced` is called, in that thread and once, when another
    incarnation uses the node's name, and `drained`, likewise, when the node must drain (`farm drain --node`).
    """

    def __init__(
        self,
        connect: Callable[[], LeaseRenewer],
        visibility_s: float,
        clock: Clock,
        every: float = 1 / 3,
        *,
        node: Identity | None = None,
        replaced: Callable[[], None] = lambda: None,
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._interval_s = visibility_s * every
        self._clock = clock
        self._node = node
        self._replaced = replaced
        self._drained: Callable[[], None] | None = drained
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], _Held] = {}
        self._lost: set[tuple[str, int]] = set()
        self._stop = self._has_broken = False
        self._wake = threading.Event()
        self._heard_at: float | None = None
        """When the last round that succeeded began; None until the thread runs."""
        self._asked: list[Future[None]] = []
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="heartbeat", daemon=True
        )

    def start(self) -> None:
        """Start the thread, right after the node has registered."""
        self._heard_at = self._clock.monotonic()
        self._thread.start()

    def close(self) -> None:
        """End the thread after the call to Redis that may be under way."""
        self._stop = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)

    def hold(self, lease: Lease, for_s: float, on_lost: Callable[[], None] | None = None) -> None:
        """Renew the lease for at most `for_s` seconds; a later call moves that end.

        `on_lost` is called once, from the heartbeat's thread, when a renewal is refused; a later call without one
        keeps it. A lease that is lost already stays so.
        """
        key, until = (lease.id, lease.token), self._clock.monotonic() + for_s
        with self._lock:
            if key in self._lost:
                return
            held = self._held.get(key)
            if held is not None and on_lost is None:
                self._held[key] = replace(held, until=until)
            else:
                self._held[key] = _Held(lease, until, on_lost)

    def drop(self, lease: Lease) -> None:
        """Stop renewing the lease: it is settled or given back."""
        with self._lock:
            self._held.pop((lease.id, lease.token), None)
            self._lost.discard((lease.id, lease.token))

    def is_lost(self, lease: Lease) -> bool:
        """Return whether a renewal was refused: another worker has the URL, or it is settled."""
        with self._lock:
            return (lease.id, lease.token) in self._lost

    async def confirm(self, lease: Lease, within_s: float) -> bool:
        """Return whether the lease is still held; asks Redis if its last answer is too old.

        False if Redis does not answer within `within_s` seconds: another worker may have the URL by then. Raises
        RuntimeError if the thread has broken: no lease of this process is renewed any more.
        """
        heard_at = self._heard_at
        if heard_at is not None and self._clock.monotonic() - heard_at >= CERTAIN_S:
            answered: Future[None] = Future()
            with self._lock:
                self._asked.append(answered)
                if self._has_broken:
                    answered.set_exception(RuntimeError(_BROKEN))
            self._wake.set()
            try:
                async with asyncio.timeout(within_s):
                    await asyncio.wrap_future(answered)
            except TimeoutError:
                return False
        return not self.is_lost(lease)

    def beat(self, renewer: LeaseRenewer) -> int:
        """Renew the leases that are due once; return how many were due."""
        now = self._clock.monotonic()
        with self._lock:
            due = [held.lease for held in self._held.values() if held.until > now]
        if not due:
            return 0
        kept, callbacks = renewer.renew(due), []
        with self._lock:
            for lease, is_kept in zip(due, kept, strict=True):
                key = (lease.id, lease.token)
                if is_kept is False and key in self._held:
                    callbacks.append(self._held.pop(key).on_lost)
                    self._lost.add(key)
        for on_lost in callbacks:
            if on_lost is not None:
                on_lost()
        unknown = sum(is_kept is None for is_kept in kept)
        if unknown:
            # As in a full outage: they may still be held, and the next beat asks again.
            log.warning(
                "%d of %d leases could not be renewed: a part of Redis is unavailable", unknown, len(due)
            )
        return len(due)

    def send(self, renewer: LeaseRenewer) -> None:
        """Send the node's heartbeat once; if the node was considered dead, find out which leases it lost."""
        if self._node is None:
            return
        state = renewer.heartbeat(self._node)
        if state is NodeState.RETURNED:
            log.warning("this node was considered dead; the URLs that it had leased are visited again")
            self.beat(renewer)
        elif state is NodeState.REPLACED:
            self._node = None
            self._replaced()
        elif state is NodeState.DRAINED and self._drained is not None:
            drained, self._drained = self._drained, None
            drained()

    def _run(self) -> None:
        try:
            self._beat_until_closed()
        finally:
            with self._lock:
                self._has_broken = not self._stop
                for one in self._asked if self._has_broken else ():
                    if one.set_running_or_notify_cancel():
                        one.set_exception(RuntimeError(_BROKEN))

    def _beat_until_closed(self) -> None:
        renewer: LeaseRenewer | None = None
        turns = 1 if self._node is None else max(1, round(self._interval_s / ALIVE_EVERY_S))
        turn = 0
        failing = False
        while True:
            self._wake.wait(self._interval_s / turns)
            self._wake.clear()
            if self._stop:
                return
            turn += 1
            begun = self._clock.monotonic()
            with self._lock:
                # Who was not answered in time has gone.
                asked = [one for one in self._asked if not one.cancelled()]
                self._asked = asked.copy()
            is_due = turn % turns == 0 or bool(asked)
            try:
                renewer = renewer or self._connect()
                self.send(renewer)
                if is_due:
                    self.beat(renewer)
            except FarmError as error:
                # The next beat tries again, also when the crawl is gone: another node may be starting it anew.
                # Leases that expire meanwhile are visited twice, never lost.
                # Said once an outage: an hour of it has a thousand beats.
                is_news = is_due and not failing
                failing = failing or is_due
                log.log(
                    logging.WARNING if is_news else logging.DEBUG, "leases could not be renewed: %s", error
                )
            else:
                failing = False
                self._heard_at = begun
                self._answer(asked)

    def _answer(self, asked: Sequence[Future[None]]) -> None:
        """Wake the callers whose requests came before the round began."""
        with self._lock:
            self._asked = [one for one in self._asked if one not in asked]
        for one in asked:
            if one.set_running_or_notify_cancel():
                one.set_result(None)

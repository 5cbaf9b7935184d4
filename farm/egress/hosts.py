"""Caches for hosts: their addresses, and failures to reach them.

Names are resolved outside the event loop. Invariants: one look-up per name at a time, however many callers wait
for it, or two where a part of a page needs it as well as a document; look-ups for parts have places of their own,
so that a page with any number of names that are never answered holds up no document; no caller waits longer than
the limit, even though a look-up in the system's resolver cannot be cancelled; an address is cached for seconds
only. The guard checks the address of every connection, cached or not.

A failure is remembered so that a page need not wait again for what the page before missed: of a name by itself,
of a port of a host as `host:port`. One that is certain (the name does not exist, the port refuses) is
remembered from the first on, one that may pass (no answer in time) from the second in a row. Invariants: a
failure is remembered for `first_s`, and twice as long each time that it is found anew after that, up to
`longest_s`; when its time is over one caller tries, and the others get the remembered failure until that one is
back or `probe_s` is over; a connection that opens forgets it. At most `MOST_HOSTS` are kept, and the one that
was not asked for longest goes first.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from threading import Thread

from farm.egress.authority import Unreachable
from farm.egress.guard import IPAddress
from farm.egress.shortage import SHORTAGE, is_short, is_shortage
from farm.model.egress import EgressFailure, EgressFault

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the addresses of a name; raises `OSError` if there are none."""

MOST_HOSTS = 1024
MAX_NAMES = 4096
MAX_LOOKUPS = 64
"""Look-ups at a time for documents, and as many for parts of pages; each has a thread."""


async def system_lookup(name: str) -> Sequence[str]:
    """Return the addresses from the system's resolver, in its order of preference; raises `OSError`.

    Each look-up has a thread of its own. The loop's threads are few and shared, so a handful of names with dead
    servers would delay all others; and since they are joined at exit, they would delay the end of the farm too.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(found: Sequence[str], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def ask() -> None:
        found: Sequence[str] = ()
        failed = None
        try:
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            found = tuple(dict.fromkeys(str(address[0]) for *_, address in infos))
        except (OSError, UnicodeError) as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed, and with it the caller
            loop.call_soon_threadsafe(settle, found, failed)

    Thread(target=ask, name=f"resolve {name}", daemon=True).start()
    return await answer


class Resolver:
    """A cache in front of a lookup."""

    def __init__(self, *, ttl_s: float, limit_s: float, lookup: Lookup = system_lookup) -> None:
        self._ttl_s = ttl_s
        self._limit_s = limit_s
        self._lookup = lookup
        self._known: OrderedDict[str, tuple[float, tuple[IPAddress, ...]]] = OrderedDict()
        self._asking: dict[tuple[str, bool], asyncio.Task[tuple[IPAddress, ...]]] = {}
        self._lookups = {is_part: asyncio.Semaphore(MAX_LOOKUPS) for is_part in (False, True)}

    async def resolve(
        self, name: str, limit_s: float | None = None, *, is_part: bool = False
    ) -> tuple[IPAddress, ...]:
        """Return the addresses of a name, at least one; `is_part`: only a part of a page needs them.

        Raises `Unreachable`.
        """
        known = self._known.get(name)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        task = self._asking.get((name, False)) or (self._asking.get((name, True)) if is_part else None)
        if task is None:
            task = asyncio.create_task(self._ask(name, is_part=is_part), name=f"resolve {name}")
            self._asking[name, is_part] = task
            task.add_done_callback(partial(self._asked, (name, is_part)))
        limit_s = self._limit_s if limit_s is None else limit_s
        # asyncio.wait does not cancel the task after the limit or with its caller: others may wait for it.
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        if not done or task.cancelled():
            raise Unreachable(EgressFault.DNS, f"no answer for {name} within {limit_s:g} s")
        return task.result()

    async def close(self) -> None:
        """Cancel the look-ups under way."""
        tasks = tuple(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _asked(self, key: tuple[str, bool], task: "asyncio.Task[tuple[IPAddress, ...]]") -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieve it, even if no caller waits any more

    async def _ask(self, name: str, *, is_part: bool) -> tuple[IPAddress, ...]:
        try:
            async with self._lookups[is_part]:
                found = await self._lookup(name)
            addresses = tuple(ip_address(text) for text in found)
        except (OSError, ValueError) as error:  # ValueError: a label that cannot be looked up
            # The system's resolver needs descriptors too, and does not say that it had none.
            if is_shortage(error) or (isinstance(error, OSError) and is_short()):
                raise Unreachable(SHORTAGE.fault, SHORTAGE.detail) from None
            raise Unreachable(
                EgressFault.DNS, f"{name}: {_sentence(error)}", certain=_is_certain(error)
            ) from None
        if not addresses:
            raise Unreachable(EgressFault.DNS, f"{name} has no address", certain=True)
        self._known[name] = (asyncio.get_running_loop().time() + self._ttl_s, addresses)
        self._known.move_to_end(name)
        if len(self._known) > MAX_NAMES:
            self._known.popitem(last=False)
        return addresses


def _is_certain(error: Exception) -> bool:
    """Whether the name does not exist, or cannot; otherwise its servers may answer a moment later."""
    return not isinstance(error, OSError) or (
        isinstance(error, socket.gaierror) and error.errno in {socket.EAI_NONAME, socket.EAI_NODATA}
    )


def _sentence(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@dataclass(slots=True)
class _Dead:
    """A failure that was found `at`, and answers callers before `until` or while one of them tries again."""

    failure: EgressFailure
    at: float
    spell_s: float
    until: float
    trying_until: float = 0.0


class DeadHosts:
    """The failures; `key` is a name, or `host:port`, and `now` a monotonic clock's."""

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

"""This node among the others: it begins once the crawl may go on, and has a name of its own while the run lasts.

What always holds: of two live runs that would have one name, the later ends before its first lease. A run that
follows a dead one in the same folder has its name, and its leases, at once.
"""

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import orjson

from farm import __version__
from farm.model.crawl import HALTED, Identity
from farm.model.errors import CrawlHalted, FarmError, OutputUnwritable, UsageError
from farm.resources.files import write_atomically

log = logging.getLogger("farm.halted")
LEAVE_S = 2.0
"""What unregistering gets; where Redis is away, the node is taken for dead instead."""
ASK_AGAIN_S = 0.5
HALTED_EVERY_S = 1.0
GIVE_UP_S = 30.0
"""Longer than any silence of a live node: whoever has the name by then has been heard of."""
LONGEST_HOST = 48
_NAME, _INCARNATION, _LOCK = "node", "incarnation", "lock"
_IS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


async def wait_while_halted(
    state: Callable[[], Awaitable[str]], refusal: Callable[[str], str], *, stays: bool, within_s: float | None
) -> None:
    """Return where the crawl may go on; a node that stays waits for that, without a browser and without a lease.

    Raises CrawlHalted where nobody waits or `within_s` is over; `refusal` makes its sentence of the state.
    """
    now = await state()
    if now not in HALTED:
        return
    sentence = refusal(now)
    if not stays:
        raise CrawlHalted(sentence)
    # Nobody has set up the log yet; a warning is shown all the same.
    log.warning("farm: %s Waiting for that (--stay).", sentence)
    try:
        async with asyncio.timeout(within_s):
            while await state() in HALTED:  # noqa: ASYNC110 - it changes in Redis
                await asyncio.sleep(HALTED_EVERY_S)
    except TimeoutError:
        raise CrawlHalted(sentence) from None


class NodeRegistration(Protocol):
    """What registering came to; `silent_s` is how long ago the holder of a name that is taken was heard of."""

    @property
    def granted(self) -> bool:
        """Whether the name is this incarnation's."""
        ...

    @property
    def silent_s(self) -> float:
        """How many seconds ago the holder of the name was alive; 0 where it was granted."""
        ...


class NodeNames(Protocol):
    """The names of a crawl's nodes."""

    async def register(
        self, name: str, incarnation: str, predecessor: str = "", facts: Mapping[str, Any] | None = None, /
    ) -> NodeRegistration:
        """Register under the name, unless a live node other than the predecessor has it.

        `facts` are what is told of the node to whoever lists the nodes.
        """
        ...

    async def unregister(self, name: str, incarnation: str, /) -> int:
        """Remove the node; return how many of its leases go back to their queues."""
        ...


class Presence:
    """The registration of one run. Without `leave` the node is taken for dead, seconds later."""

    def __init__(
        self, registry: NodeNames, identity: Identity, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.identity = identity
        self._on_drain: Callable[[], None] = lambda: None
        self._is_drained = False
        self._registry = registry
        self._facts = facts
        self._replaced = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def replaced(self) -> None:
        """Hear, from any thread, that another node has the name."""
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(self._replaced.set)

    def drained(self) -> None:
        """Hear, from any thread, that somebody has asked this node to end."""
        self._is_drained = True
        self._on_drain()

    def on_drain(self, end: Callable[[], None]) -> None:
        """Have `end` called, from any thread, when the node is asked to end; at once where it was already."""
        self._on_drain = end
        if self._is_drained:
            end()

    async def run(self) -> None:
        """Raise UsageError once another node has the name."""
        await self._replaced.wait()
        raise self._lost()

    async def confirm(self) -> None:
        """Say that the node is alive, before there is a heartbeat; raises UsageError where it was replaced."""
        name, incarnation = self.identity.name, self.identity.incarnation
        if not (await self._registry.register(name, incarnation, "", self._facts)).granted:
            raise self._lost()

    def _lost(self) -> UsageError:
        return UsageError(
            f"Another run has taken the node name {self.identity.name}; give this one another --node."
        )

    async def leave(self) -> None:
        """Unregister; what is still leased goes back to its queues."""
        with suppress(FarmError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._registry.unregister(self.identity.name, self.identity.incarnation)


async def register(
    registry: NodeNames, given: str | None, private: Path, facts: Mapping[str, Any] | None = None
) -> Presence:
    """Register under the given name, or that of the folder; raises UsageError where a live node has it.

    The folder must be locked by this run: whatever incarnation was kept in it is dead, and its leases come back at
    once. A copy of a folder proves nothing, and no more does one without a kept incarnation: then a holder of the
    name is listened for until it is heard of, or has been silent for as long as the dead are.
    """
    name = await asyncio.to_thread(_kept_name, private / _NAME) if given is None else given
    identity = Identity(name, os.urandom(8).hex())
    place = await asyncio.to_thread(_place, private / _LOCK)
    predecessor = await asyncio.to_thread(_predecessor, private / _INCARNATION, place)
    registration = await registry.register(name, identity.incarnation, predecessor, facts)
    heard_s, until = registration.silent_s, time.monotonic() + GIVE_UP_S
    while not registration.granted:
        await asyncio.sleep(ASK_AGAIN_S)
        registration = await registry.register(name, identity.incarnation, "", facts)
        if not registration.granted and (registration.silent_s < heard_s or time.monotonic() > until):
            advice = "name this one with --node" if given is None else "give this one another --node"
            raise UsageError(
                f"The node name {name} is in use by a run that is at work on this crawl; {advice}."
            )
        heard_s = registration.silent_s
    await asyncio.to_thread(_write, private / _INCARNATION, f"{identity.incarnation} {place}")
    return Presence(registry, identity, facts)


def check_code(own: str, others: Mapping[str, str]) -> None:
    """Raise UsageError where another node, by its name, has other handlers than this one, by their digests."""
    for name, digest in sorted(others.items()):
        if digest != own:
            theirs, ours = (f"those of {one}" if one else "none" for one in (digest, own))
            raise UsageError(
                f"The node {name} is at work on this crawl with other handlers ({theirs}, here {ours}); bring "
                "both to the same code, or end that node first."
            )


def node_facts(contexts: int, processes: int, agreed: Mapping[str, Any], app: str = "") -> dict[str, Any]:
    """Return what a node tells of itself when it registers, ready for JSON.

    `settings` is a digest of the settings that the nodes agree on: equal where these are; `app` is that of the
    user's handlers.
    """
    digest = blake2b(orjson.dumps(dict(agreed), option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()
    return {
        "version": __version__,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "contexts": contexts,
        "processes": processes,
        "settings": digest,
        "app": app,
    }


def _kept_name(path: Path) -> str:
    """Return the folder's name, which it gets on its first run: the host's and a random part."""
    kept = _read(path)
    if _IS_NAME.match(kept):
        return kept
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip(".-")[:LONGEST_HOST] or "node"
    name = f"{host}-{secrets.token_hex(3)}"
    _write(path, name)
    return name


def _place(lock: Path) -> str:
    """Return what tells this folder, on this machine since its start, from every copy of it.

    The lock is the kernel's: only where it is the same file of the same kernel, having it proves that whoever had
    it before is dead.
    """
    status = lock.stat()
    return f"{_read(_BOOT)}:{status.st_dev:x}:{status.st_ino:x}"


def _predecessor(path: Path, place: str) -> str:
    """Return the incarnation that had this very folder before; empty where that is not certain."""
    incarnation, _, kept_at = _read(path).partition(" ")
    return incarnation if kept_at == place else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _write(path: Path, text: str) -> None:
    """Replace the file atomically: a run that is killed here must not leave half a name."""
    try:
        write_atomically(path, f"{text}\n".encode("ascii"), path.with_name(f"{path.name}.new"))
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be written ({error.strerror}); check its permissions, or choose another --output."
        ) from None

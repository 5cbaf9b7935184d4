"""The registration of this node: it waits until the crawl may continue, and has a unique name during the run.

Invariants: of two live runs with the same name, the later ends before its first lease. A run that follows a dead
one in the same folder gets its name, and its leases, immediately.
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
"""The deadline of unregistering; if Redis is unavailable, the node is considered dead later."""
ASK_AGAIN_S = 0.5
HALTED_EVERY_S = 1.0
GIVE_UP_S = 30.0
"""Longer than any silence of a live node: a live holder of the name sends a heartbeat by then."""
LONGEST_HOST = 48
_NAME, _INCARNATION, _LOCK = "node", "incarnation", "lock"
_IS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


async def wait_while_halted(
    state: Callable[[], Awaitable[str]], refusal: Callable[[str], str], *, stays: bool, within_s: float | None
) -> None:
    """Return once the crawl may continue; a node with `--stay` waits for that, without a browser or a lease.

    Raises CrawlHalted if the node does not wait or after `within_s`; `refusal` makes its sentence from the state.
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
    """The result of registering; `silent_s` is the age of the last heartbeat of the holder of a taken name."""

    @property
    def granted(self) -> bool:
        """Whether the name is this incarnation's."""
        ...

    @property
    def silent_s(self) -> float:
        """How many seconds ago the holder of the name sent a heartbeat; 0 if the name was granted."""
        ...


class NodeNames(Protocol):
    """The names of a crawl's nodes."""

    async def register(
        self, name: str, incarnation: str, predecessor: str = "", facts: Mapping[str, Any] | None = None, /
    ) -> NodeRegistration:
        """Register under the name, unless a live node other than the predecessor has it.

        `facts` are the node's properties in the list of nodes.
        """
        ...

    async def unregister(self, name: str, incarnation: str, /) -> int:
        """Remove the node; return how many of its leases returned to their queues."""
        ...


class Presence:
    """The registration of one run. Without `leave` the node is considered dead seconds later."""

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
        """Note, from any thread, that another node has the name."""
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(self._replaced.set)

    def drained(self) -> None:
        """Note, from any thread, that this node must end."""
        self._is_drained = True
        self._on_drain()

    def on_drain(self, end: Callable[[], None]) -> None:
        """Call `end`, from any thread, when the node must end; immediately if it already must."""
        self._on_drain = end
        if self._is_drained:
            end()

    async def run(self) -> None:
        """Raise UsageError once another node has the name."""
        await self._replaced.wait()
        raise self._lost()

    async def confirm(self) -> None:
        """Send a heartbeat, before the heartbeat's thread runs; raises UsageError if the node was replaced."""
        name, incarnation = self.identity.name, self.identity.incarnation
        if not (await self._registry.register(name, incarnation, "", self._facts)).granted:
            raise self._lost()

    def _lost(self) -> UsageError:
        return UsageError(
            f"Another run has taken the node name {self.identity.name}; give this one another --node."
        )

    async def leave(self) -> None:
        """Unregister; URLs that are still leased return to their queues."""
        with suppress(FarmError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._registry.unregister(self.identity.name, self.identity.incarnation)


async def register(
    registry: NodeNames, given: str | None, private: Path, facts: Mapping[str, Any] | None = None
) -> Presence:
    """Register under the given name, or that of the folder; raises UsageError if a live node has it.

    This run must hold the lock of the folder: the incarnation that is stored in it is then dead, and its leases
    return immediately. A copy of a folder proves nothing, nor does one without a stored incarnation: then this run
    waits until the holder of the name sends a heartbeat, or has been silent for as long as a dead node.
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
    """Raise UsageError if another node, by its name, has other handlers than this one, by their digests."""
    for name, digest in sorted(others.items()):
        if digest != own:
            theirs, ours = (f"those of {one}" if one else "none" for one in (digest, own))
            raise UsageError(
                f"The node {name} is at work on this crawl with other handlers ({theirs}, here {ours}); bring "
                "both to the same code, or end that node first."
            )


def node_facts(contexts: int, processes: int, agreed: Mapping[str, Any], app: str = "") -> dict[str, Any]:
    """Return a node's properties when it registers, as JSON values.

    `settings` is a digest of the settings that the nodes agree on; `app` is that of the user's handlers.
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
    """Return the node name of the folder, created on its first run: the host's name and a random part."""
    kept = _read(path)
    if _IS_NAME.match(kept):
        return kept
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip(".-")[:LONGEST_HOST] or "node"
    name = f"{host}-{secrets.token_hex(3)}"
    _write(path, name)
    return name


def _place(lock: Path) -> str:
    """Return an identifier that distinguishes this folder, on this machine since it booted, from every copy.

    The lock is the kernel's: only for the same file of the same kernel does holding it prove that the previous
    holder is dead.
    """
    status = lock.stat()
    return f"{_read(_BOOT)}:{status.st_dev:x}:{status.st_ino:x}"


def _predecessor(path: Path, place: str) -> str:
    """Return the incarnation that used this folder before; empty if that is not certain."""
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

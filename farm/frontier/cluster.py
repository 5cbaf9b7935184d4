"""A client of a Redis Cluster that sends each call to the master of its slot, also while slots move.

It replaces redis-py's own client, which closes connections of other callers when a master becomes unavailable,
sends an ASKING on another connection than its command, and does not say whether a call was ever sent. Here each
server has a pool of its own, which only its own errors affect; the slots are read again after an error, by one
caller at a time. A call is tried once: the caller repeats it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions as redis_errors
from redis.crc import key_slot

from farm.frontier.address import Host
from farm.frontier.faults import FOREIGN

SLOTS = 16384
REDIRECTIONS = 3
"""How often one call follows a moved slot."""
REFRESH_EVERY_S = 0.2
"""The slots are not read more often, however many calls fail."""
REPLICAS_FOR_S = 1.0
"""How long the number of replicas is cached."""
MOST_SERVERS = 1000
_KEYLESS = frozenset(
    ("INFO", "CONFIG GET", "COMMAND LIST", "CLUSTER KEYSLOT", "CLUSTER NODES", "FUNCTION LOAD")
)
_EVERYWHERE = frozenset(("FUNCTION LOAD",))
_MISLED = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ClusterDownError,
    redis_errors.ReadOnlyError,
    OSError,
    TimeoutError,
)
"""Errors after which another server may have the slot."""


def key_of(args: Sequence[Any]) -> str | bytes:
    """Return the key that determines the server of a command: the first one that it declares."""
    key: str | bytes = args[3] if args[0] == "FCALL" else args[1]
    return key


class ClusterClient:
    """Sends each command to the master that has its key's slot. `connect` builds the client of one server."""

    def __init__(self, seeds: Sequence[Host], connect: Callable[[Host], Any]) -> None:
        self._seeds = tuple(seeds)
        self._connect = connect
        self._servers: dict[Host, Any] = {}
        self._slots: list[Host | None] = [None] * SLOTS
        self._replicas: Mapping[Host, int] = {}
        self._is_stale = True
        self._read_at = -REFRESH_EVERY_S
        self._reading = asyncio.Lock()

    async def execute_command(self, *args: Any, target_nodes: str = "") -> Any:
        """Send a command; `primaries` are all masters, whose replies come by their places.

        Raises redis-py's errors; `NeverSent` if no server can have received the call.
        """
        if target_nodes == "primaries" or args[0] in _EVERYWHERE:
            return await self._to_all(args)
        if args[0] in _KEYLESS:
            await self._refresh()
            return await self._server(self._masters()[0]).execute_command(*args)
        slot = _slot_of(key_of(args))
        host, is_asking = await self._master_of(slot), False
        for _ in range(REDIRECTIONS):
            try:
                if is_asking:
                    return await _after_asking(self._server(host), args)
                return await self._server(host).execute_command(*args)
            except redis_errors.MovedError as error:
                host, is_asking = _target_of(error, host), False
                self._slots[slot] = host
                self._is_stale = True
            except redis_errors.AskError as error:
                host, is_asking = _target_of(error, host), True
            except _MISLED:
                self._is_stale = True
                raise
        raise redis_errors.TryAgainError(f"slot {slot} is being moved")

    async def execute_several(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands about keys of one slot to its master at once; return their replies. Raises as one does."""
        host = await self._master_of(_slot_of(key_of(calls[0])))
        try:
            return await pipelined(self._server(host), calls)
        except (redis_errors.AskError, *_MISLED):
            # MOVED is one of the first: whoever repeats the call reads the slots anew.
            self._is_stale = True
            raise

    async def run_replicated(self, args: Sequence[Any], within_ms: int) -> tuple[Any, bool]:
        """Send a command and wait until its master's replicas have it; return its reply, and whether they have.

        A master that never had replicas has nobody to wait for. Of those that are known one at least must have
        it, and all that are in reach: any of them may be the next master.
        """
        if time.monotonic() - self._read_at > REPLICAS_FOR_S:
            # No error tells that a replica has come.
            self._is_stale = True
        host = await self._master_of(_slot_of(key_of(args)))
        try:
            async with self._server(host).client() as connection:
                reply = await connection.execute_command(*args)
                wanted = self._replicas.get(host, 0)
                if not wanted:
                    return reply, True
                has = await connection.execute_command("WAIT", wanted, within_ms)
                return reply, int(has) >= wanted
        except (redis_errors.AskError, *_MISLED):
            self._is_stale = True
            raise

    async def scan_iter(self, *, match: str, count: int) -> AsyncIterator[Any]:
        """Yield the keys of all masters."""
        await self._refresh()
        for host in self._masters():
            async for key in self._server(host).scan_iter(match=match, count=count):
                yield key

    async def aclose(self) -> None:
        """Close every connection."""
        for server in self._servers.values():
            with suppress(*FOREIGN):
                await server.aclose()
                await server.connection_pool.disconnect()

    async def _to_all(self, args: Sequence[Any]) -> Any:
        await self._refresh()
        hosts = self._masters()
        try:
            replies = await asyncio.gather(*(self._server(host).execute_command(*args) for host in hosts))
        except _MISLED:
            self._is_stale = True
            raise
        return {f"{name}:{port}": reply for (name, port), reply in zip(hosts, replies, strict=True)}

    def _masters(self) -> list[Host]:
        return sorted({host for host in self._slots if host is not None})

    def _server(self, host: Host) -> Any:
        server = self._servers.get(host)
        if server is None:
            server = self._servers[host] = self._connect(host)
        return server

    async def _master_of(self, slot: int) -> Host:
        if self._is_stale:
            await self._refresh()
        host = self._slots[slot]
        if host is None:
            self._is_stale = True
            raise redis_errors.SlotNotCoveredError(f"slot {slot} is not covered by the cluster")
        return host

    async def _refresh(self) -> None:
        """Read the masters of the slots from the first server that answers, unless another caller just did."""
        async with self._reading:
            if not self._is_stale or time.monotonic() - self._read_at < REFRESH_EVERY_S:
                return
            failed: Exception | None = None
            known = [host for host in self._servers if host not in self._seeds]
            for host in (*self._seeds, *known)[:MOST_SERVERS]:
                try:
                    await self._read(host)
                except FOREIGN as error:
                    if failed is None or not isinstance(error, redis_errors.ConnectionError):
                        failed = error
                else:
                    # The server that answers is asked first the next time.
                    self._seeds = (host, *(seed for seed in self._seeds if seed != host))
                    return
            self._read_at = time.monotonic()
            if failed is not None and not self._masters():
                raise failed

    async def _read(self, host: Host) -> None:
        server = self._server(host)
        ranges = await server.execute_command("CLUSTER SLOTS", NEVER_DECODE=True)
        # By redis-py a dictionary, in which failed nodes stand as well.
        nodes = await server.execute_command("CLUSTER NODES")
        slots: list[Host | None] = [None] * SLOTS
        online: dict[Host, int] = {}
        for first, last, master, *replicas in ranges:
            # An empty name means the server itself, which does not know its name.
            owner = ((master[0] or b"").decode() or host[0], int(master[1]))
            slots[first : last + 1] = [owner] * (last + 1 - first)
            online[owner] = len(replicas)
        self._slots = slots
        self._replicas = _wanted(nodes, ranges, host, online)
        self._is_stale = False
        self._read_at = time.monotonic()


async def pipelined(server: Any, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """Send commands to a server at once and return their replies in order; raises the first error among them."""
    async with server.pipeline(transaction=False) as pipeline:
        for call in calls:
            pipeline.execute_command(*call)
        # redis-py would put words before the server's message, by which errors are told apart.
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _wanted(nodes: Any, ranges: Any, asked: Host, online: Mapping[Host, int]) -> dict[Host, int]:
    """Return of each master how many replicas must have a write for it to outlive the master.

    Those in reach; one where none is, since one that comes back may take the master's place with what it has.
    """
    followed = {node["master_id"] for node in nodes.values() if "slave" in node["flags"].split(",")}
    wanted: dict[Host, int] = {}
    for _, _, master, *_ in ranges:
        owner = ((master[0] or b"").decode() or asked[0], int(master[1]))
        identity = master[2].decode() if len(master) > 2 else ""  # noqa: PLR2004 - name, port, id
        wanted[owner] = max(online[owner], 1 if identity in followed else 0)
    return wanted


def _slot_of(key: str | bytes) -> int:
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def _target_of(error: Any, asked: Host) -> Host:
    """Return the target of a redirection; a server that does not know its own name leaves the host out."""
    return (str(error.host) or asked[0], int(error.port))


async def _after_asking(server: Any, args: Sequence[Any]) -> Any:
    """Send a command to the server that is importing its slot, after ASKING on the same connection."""
    async with server.client() as connection:
        await connection.execute_command("ASKING")
        return await connection.execute_command(*args)

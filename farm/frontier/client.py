"""The frontier's client of Redis: every call has a deadline, and is repeated after a transient fault.

Repeating is safe because every script is idempotent: by request id, by token, or by fingerprint.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import redis.asyncio
from redis import exceptions as redis_errors
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from farm.frontier import keys
from farm.frontier.address import is_cluster, place_of
from farm.frontier.cluster import pipelined
from farm.frontier.faults import (
    FOREIGN,
    cannot_write,
    closed_transport,
    is_stale_master,
    is_transient,
    lacks_function,
    reason_of,
    translate,
    unwritable,
    was_not_run,
)
from farm.frontier.scripts import LIBRARY
from farm.model.event import RedisAway, RedisBack

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 2.0
REPETITION_WAIT = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)
"""The pause after the first repetition, which is immediate: usually the server has closed an idle connection."""
_PASSES = retry_if_exception(is_transient)
ON_DISK_MS = 3000
"""A log that is flushed every second is on disk by then; shorter than the timeout of a call."""
TELL_AFTER_S = 1.0
SEVERAL_S = 15.0
"""How long several commands that are sent at once may take; each reply has the deadline of a call as well."""
MEMORY_EVERY_S = 2.0
"""The interval at which the server's memory is checked."""
NEARLY_FULL = 0.9
"""The share of `maxmemory` above which nothing new is queued. At all of it nothing is leased either."""

Arg = str | bytes | int | float


class Outage:
    """Whether Redis answers, from the results of calls: an outage is reported once, and so is its end.

    A dropped connection that is restored quickly is not an outage: nothing is reported until no call has
    been answered for a second. `tell` receives the events; until it is set they are dropped.
    """

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


class RedisClient:
    """An asynchronous client that repeats each call, with full jitter, for up to `patience_s`."""

    def __init__(
        self,
        client: Any,
        url: str,
        *,
        patience_s: float = 300.0,
        is_private: bool = False,
        warnings: Sequence[str] = (),
    ) -> None:
        """`is_private` says that the server uses the farm's own disk: nobody else will repair it."""
        self._client = client
        self.url = url
        self.place = place_of(url)
        self.patience_s = patience_s
        self._is_private = is_private
        self._is_cluster = is_cluster(url)
        self.warnings = tuple(warnings)
        self._all_masters = {"target_nodes": "primaries"} if self._is_cluster else {}
        self._memory_at = -MEMORY_EVERY_S
        self._is_nearly_full = False
        self.outage = Outage(self.place, time.monotonic)

    async def run(self, name: str, key: str, *args: Arg) -> Any:
        """Run a transition on the shard whose counters are under `key`."""
        return await self._patiently(self._call, name, key, *args)

    async def attempt(self, name: str, key: str, *args: Arg, in_doubt: bool) -> Any | None:
        """Run a transition once; None if its server is unavailable, so that others may be tried.

        With `in_doubt` also if the call may have been carried out; otherwise that is found out by repeating it.
        Raises like `run`.
        """
        try:
            return await self._once(self._call, name, key, *args)
        except FOREIGN as error:
            if not is_transient(error) or self.patience_s <= 0:
                raise translate(error, self.place) from None
            if in_doubt or was_not_run(error):
                return None
        return await self.run(name, key, *args)

    async def run_replicated(self, name: str, key: str, *args: Arg, within_ms: int) -> tuple[Any, bool]:
        """Run a transition; return its reply, and whether the replicas of its shard's master have it.

        True without a Cluster: there all shards have the same master.
        """
        if not self._is_cluster:
            return await self.run(name, key, *args), True
        call = function_call(name, key, args, is_guarded=True)
        reply, has = await self._patiently(self._replicated, call, within_ms)
        return reply, bool(has)

    async def command(self, *args: Arg, **options: Any) -> Any:
        """Send one plain command."""
        return await self._patiently(self._plain, *args, **options)

    async def commands(self, calls: Sequence[Sequence[Arg]]) -> list[Any]:
        """Send several plain commands at once; return their replies in order. On a Cluster all are of one shard.

        Raises as `command` does, where one of them fails or all are not answered within `SEVERAL_S` seconds.
        """
        return cast("list[Any]", await self._patiently(self._several, calls))

    async def probe(self, crawl: str) -> None:
        """Call a transition that only reads, whether the crawl exists or not: raises if the server refuses it."""
        await self.run("stats", keys.ctl(keys.Handle(keys.check_name(crawl))), "")

    async def ask(self, *args: Arg, **options: Any) -> Any | None:
        """Send a command that a server may forbid; None if it does."""
        try:
            return await self._client.execute_command(*args, **options)
        except redis_errors.ResponseError:
            return None
        except FOREIGN as error:
            raise translate(error, self.place) from None

    async def is_on_disk(self, key: str) -> bool | None:
        """Wait until everything written so far is in the server's log on its disk, and say whether it is.

        None if the server cannot tell: before Redis 7.2, without an append-only file, on a Cluster. Writes
        under `key`, because a connection can only wait for what itself has written, and the log keeps the order.
        """
        if not isinstance(self._client, redis.asyncio.Redis):
            return None
        try:
            single: Any = self._client.client()
            async with single as connection:
                await _with_library(connection, function_call("control", key, ("", ""), is_guarded=False))
                local, _ = await connection.execute_command("WAITAOF", 1, 0, ON_DISK_MS)
        except redis_errors.ResponseError:
            return None
        except FOREIGN as error:
            raise translate(error, self.place) from None
        return bool(local)

    async def is_nearly_full(self) -> bool:
        """Whether a server has used nine tenths of the memory it may use, at most two seconds ago."""
        now = time.monotonic()
        if now - self._memory_at >= MEMORY_EVERY_S:
            self._memory_at = now
            try:
                servers = await self._once(self._plain, "INFO", "memory", **self._all_masters)
            except FOREIGN as error:
                if not is_transient(error):
                    raise translate(error, self.place) from None
                return self._is_nearly_full
            for facts in self.by_place(servers).values():
                limit = int(facts.get("maxmemory", 0))
                self._is_nearly_full = 0 < limit * NEARLY_FULL <= int(facts.get("used_memory", 0))
                if self._is_nearly_full:
                    break
        return self._is_nearly_full

    async def facts(self, *sections: str) -> dict[str, dict[str, Any]]:
        """Return each server's INFO by its address: of a Cluster all masters, since each has leases."""
        reply = await self.command("INFO", *sections, **self._all_masters)
        return {place: dict(facts) for place, facts in self.by_place(reply).items()}

    def by_place(self, reply: Mapping[str, Any]) -> Mapping[str, Mapping[Any, Any]]:
        """Return the replies by server, also if there is only one server."""
        return reply if self._is_cluster else {self.place: reply}

    async def keys(self, pattern: str) -> list[bytes]:
        """Find keys by SCAN: for starting anew, never on a hot path."""
        return [key async for key in self.scan(pattern)]

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield keys by SCAN, which may give one twice; for more of them than a list should hold."""
        try:
            async for key in self._client.scan_iter(match=pattern, count=1000):
                yield cast("bytes", key)
        except FOREIGN as error:
            raise translate(error, self.place) from None

    async def close(self) -> None:
        """Close every connection; an error of the server is ignored."""
        with suppress(*FOREIGN):
            await self._client.aclose()

    async def _call(self, name: str, key: str, *args: Arg) -> Any:
        return await _with_library(self._client, function_call(name, key, args, is_guarded=self._is_cluster))

    async def _replicated(self, call: tuple[Arg, ...], within_ms: int) -> Any:
        try:
            return await self._client.run_replicated(call, within_ms)
        except redis_errors.ResponseError as error:
            if not lacks_function(error):
                raise
        await self._client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
        return await self._client.run_replicated(call, within_ms)

    async def _plain(self, *args: Arg, **options: Any) -> Any:
        return await self._client.execute_command(*args, **options)

    async def _several(self, calls: Sequence[Sequence[Arg]]) -> list[Any]:
        async with asyncio.timeout(SEVERAL_S):
            if self._is_cluster:
                return cast("list[Any]", await self._client.execute_several(calls))
            return await pipelined(self._client, calls)

    async def _patiently(self, call: Any, *args: Any, **options: Any) -> Any:
        """Make a call, repeated while it fails transiently; raises the farm's errors.

        The first call is made without tenacity: nearly all succeed, and tenacity would add a twentieth to the
        farm's own time.
        """
        try:
            return await self._once(call, *args, **options)
        except FOREIGN as error:
            if not is_transient(error) or self.patience_s <= 0:
                raise translate(error, self.place) from None
        repeating = AsyncRetrying(
            wait=REPETITION_WAIT, stop=stop_after_delay(self.patience_s), retry=_PASSES, reraise=True
        )
        try:
            return await repeating(self._once, call, *args, **options)
        except FOREIGN as error:
            raise translate(error, self.place) from None

    async def _once(self, call: Any, *args: Any, **options: Any) -> Any:
        begun = time.monotonic()
        try:
            with _cancellation_kept():
                try:
                    reply = await call(*args, **options)
                except RuntimeError as error:
                    raise closed_transport(error) from None
        except FOREIGN as error:
            if self._is_private and cannot_write(error):
                raise unwritable(reason_of(error)) from None
            if is_transient(error):
                self.outage.failed(begun, reason_of(error))
            if is_stale_master(error):
                await self._renew()
            raise
        self.outage.answered()
        return reply

    async def _renew(self) -> None:
        """Make the next call connect anew: another server behind the same address may be the master by now.

        On a Cluster the error alone does so.
        """
        if isinstance(self._client, redis.asyncio.Redis):
            with suppress(*FOREIGN):
                await cast("Any", self._client.connection_pool).renew()


def function_call(name: str, key: str, args: Sequence[Arg], *, is_guarded: bool) -> tuple[Arg, ...]:
    """Return a transition as a command; on a Cluster it is guarded.

    A script reads and writes keys that only it can name, so it cannot declare them, and it must not run while the
    slot of its shard moves from one master to another: some of its keys would be here and some there, and it
    would end in the middle of its writes. The guard is a second declared key, which never exists. While the slot
    moves, a master refuses whatever declares a key that is not there (ASK, then TRYAGAIN) before the script
    begins, and the call is repeated until the slot has moved.
    """
    if is_guarded:
        return ("FCALL", LIBRARY.function(name), 2, key, keys.guard(key), *args)
    return ("FCALL", LIBRARY.function(name), 1, key, *args)


async def _with_library(client: Any, call: tuple[Arg, ...]) -> Any:
    """Make a call of a function; a server that lacks the library is given it."""
    try:
        return await client.execute_command(*call)
    except redis_errors.ResponseError as error:
        if not lacks_function(error):
            raise
    await client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
    return await client.execute_command(*call)


@contextmanager
def _cancellation_kept() -> Iterator[None]:
    """Raise the cancellation that redis-py lost.

    It sends under `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes just as the
    sending ends. A worker that was to stop would go on with its visit, and hold up the end of the farm.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError

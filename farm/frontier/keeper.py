"""Leases are renewed from a thread of their own, over a connection of their own.

The client is synchronous on purpose: an event loop that is busy with the browser's work cannot starve it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis import exceptions as redis_errors

from farm.frontier import keys
from farm.frontier.connect import build_sync
from farm.frontier.faults import FOREIGN, lacks_function, passes, place_of, translate
from farm.frontier.scripts import LIBRARY
from farm.frontier.shards import shard_of
from farm.model.task import Lease

RENEW_TIMEOUT_S = 3.0


class RedisLeaseKeeper:
    """Renews leases; connects at the first call, so it may be built in one thread and used in another."""

    def __init__(
        self,
        url: str,
        crawl: str,
        *,
        shards: int = 1,
        timeout_s: float = RENEW_TIMEOUT_S,
        own_time_ms: Callable[[], int] | None = None,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._place = place_of(url)
        self._crawl = crawl
        self._shards = shards
        self._own_time_ms = own_time_ms

    def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Extend each lease by the visibility timeout; False where it is lost.

        Also without leases it ticks the crawl's clock. Raises `FrontierUnavailable` after two attempts,
        since whoever keeps leases comes back soon anyway.
        """
        by_shard: dict[int, list[int]] = {shard: [] for shard in range(self._shards)}
        for place, lease in enumerate(leases):
            by_shard[shard_of(lease.task.site, self._shards)].append(place)
        kept = [False] * len(leases)
        for shard, places in by_shard.items():
            fences = [part for n in places for part in (leases[n].slot, leases[n].id, leases[n].token)]
            for place, one in zip(
                places, self._run("renew", keys.ctl(self._crawl, shard), fences), strict=True
            ):
                kept[place] = bool(one)
        return kept

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _run(self, name: str, key: str, args: Sequence[str | int]) -> list[int]:
        own: int | str = "" if self._own_time_ms is None else self._own_time_ms()
        try:
            try:
                return self._evaluate(name, key, own, *args)
            except FOREIGN as error:
                # A connection that the server closed while it was idle fails once; the next one is new.
                if not passes(error):
                    raise
                return self._evaluate(name, key, own, *args)
        except FOREIGN as error:
            raise translate(error, self._place) from None

    def _evaluate(self, name: str, key: str, *args: str | int) -> list[int]:
        if self._client is None:
            self._client = build_sync(self._url, timeout_s=self._timeout_s)
        call = ("FCALL", LIBRARY.function(name), 1, key, *args)
        reply: Any
        try:
            reply = self._client.execute_command(*call)
        except redis_errors.ResponseError as error:
            if not lacks_function(error):
                raise
            self._client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
            reply = self._client.execute_command(*call)
        return [int(one) for one in reply]

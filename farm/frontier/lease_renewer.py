"""Renews leases from a separate thread, over a separate connection.

The client is synchronous on purpose: an event loop that is busy with the browser's work cannot starve it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis import exceptions as redis_errors

from farm.frontier import keys
from farm.frontier.address import is_cluster, place_of
from farm.frontier.client import Arg, function_call
from farm.frontier.connect import build_sync
from farm.frontier.faults import FOREIGN, is_stale_master, is_transient, lacks_function, translate
from farm.frontier.nodes import state_over_shards
from farm.frontier.scripts import LIBRARY
from farm.frontier.shards import shard_of
from farm.model.crawl import Identity, NodeState
from farm.model.errors import FarmError
from farm.model.task import Lease

RENEW_TIMEOUT_S = 3.0
_SAID_NOTHING = (redis_errors.TimeoutError, TimeoutError)


class RedisLeaseRenewer:
    """Renews leases; connects at the first call, so it may be built in one thread and used in another."""

    def __init__(
        self,
        url: str,
        crawl: keys.Sharded,
        *,
        timeout_s: float = RENEW_TIMEOUT_S,
        own_time_ms: Callable[[], int] | None = None,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._place = place_of(url)
        self._crawl = crawl
        self._shards = crawl.shards
        self._own_time_ms = own_time_ms
        self._silent: set[int] = set()

    def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
        """Extend each lease by the visibility timeout; False if it is lost, None if its shard does not answer.

        Without leases it still advances the crawl's virtual clock. Every shard is called, whatever another
        answers: leases on a live master must not expire because another is unavailable. Raises FrontierUnavailable
        if no shard answers: the caller soon renews again anyway.
        """
        places: dict[int, list[int]] = {shard: [] for shard in range(self._shards)}
        for place, lease in enumerate(leases):
            places[shard_of(lease.task.site, self._shards)].append(place)
        kept: list[bool | None] = [None] * len(leases)
        failed: dict[int, FarmError] = {}
        client = self._connected()
        # Those that did not answer come last: each may take a whole timeout, and the others must not wait.
        for shard in sorted(places, key=self._silent.__contains__):
            fences = [part for n in places[shard] for part in (leases[n].slot, leases[n].id, leases[n].token)]
            try:
                answer = self._run(client, "renew", keys.ctl(self._crawl, shard), fences)
            except FarmError as error:
                failed[shard] = error
            else:
                for place, one in zip(places[shard], answer, strict=True):
                    kept[place] = bool(one)
        self._silent = set(failed)
        if len(failed) == self._shards:
            raise next(iter(failed.values()))
        return kept

    def heartbeat(self, node: Identity) -> NodeState:
        """Send the node's heartbeat to every shard. Raises FrontierUnavailable if no shard answers."""
        client, standings = self._connected(), []
        failed: FarmError | None = None
        for shard in sorted(range(self._shards), key=self._silent.__contains__):
            try:
                key = keys.ctl(self._crawl, shard)
                standings.append(self._run(client, "heartbeat", key, (node.name, node.incarnation)))
            except FarmError as error:
                failed = error
        if failed is not None and not standings:
            raise failed
        return state_over_shards([int(one) for one in standings])

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            try:
                # On a Cluster one try each, or a master that is away would hold up the others' shards.
                self._client = build_sync(self._url, timeout_s=self._timeout_s, redirections=0)
            except FOREIGN as error:
                raise translate(error, self._place) from None
        return self._client

    def _run(self, client: Any, name: str, key: str, args: Sequence[str | int]) -> Any:
        own: int | str = "" if self._own_time_ms is None else self._own_time_ms()
        call = function_call(name, key, (own, *args), is_guarded=is_cluster(self._url))
        try:
            try:
                return _evaluate(client, call)
            except FOREIGN as error:
                # A connection that the server closed while it was idle fails once; the next one is new. Of several
                # shards one that says nothing is not waited for twice.
                if not is_transient(error) or (self._shards > 1 and isinstance(error, _SAID_NOTHING)):
                    raise
                if is_stale_master(error) and isinstance(client, redis.Redis):
                    # The server may no longer be the master; the next connection resolves the name anew.
                    client.connection_pool.disconnect()
                return _evaluate(client, call)
        except FOREIGN as error:
            raise translate(error, self._place) from None


def _evaluate(client: Any, call: tuple[Arg, ...]) -> Any:
    try:
        return client.execute_command(*call)
    except redis_errors.ResponseError as error:
        if not lacks_function(error):
            raise
        client.execute_command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
        return client.execute_command(*call)

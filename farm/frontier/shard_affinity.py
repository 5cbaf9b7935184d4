"""How long each slot has been served by one shard, so that no shard is served for ever while others have work.

A script hands out the best of its own shard and knows of no other: only whoever asks can go elsewhere. Each slot
belongs to one node, so what is kept here concerns nobody else, and need not outlive the process.
"""

from dataclasses import dataclass

from farm.model.task import LeaseRequest


@dataclass(frozen=True, slots=True)
class _Run:
    request_id: str
    shard: int
    length: int


class ShardAffinity:
    """The slots' runs; `longest` is how many leases in a row one shard gives before the others are asked."""

    def __init__(self, shards: int, longest: int) -> None:
        self._shards = shards
        self._longest = longest
        self._runs: dict[str, _Run] = {}

    def first(self, request: LeaseRequest, home: int) -> int:
        """Return the shard to ask first: `home`, or the one behind it when the slot's run there is over.

        A request that was granted and is repeated goes where it was granted, or its slot would hold two leases.
        """
        run = self._runs.get(request.slot)
        if run is None:
            return home
        if run.request_id == request.request_id:
            return run.shard
        is_over = run.shard == home and run.length >= self._longest
        return (home + 1) % self._shards if is_over else home

    def note(self, request: LeaseRequest, shard: int, *, anew: bool) -> None:
        """Note who granted a request; `anew` when others were asked before and had nothing."""
        if self._shards == 1:
            return
        run = self._runs.get(request.slot)
        if run is not None and run.request_id == request.request_id:
            return
        length = run.length + 1 if run is not None and run.shard == shard and not anew else 1
        self._runs[request.slot] = _Run(request.request_id, shard, length)

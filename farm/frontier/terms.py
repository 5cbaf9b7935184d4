"""The terms of leasing on which a crawl's nodes agree; stored in Redis when the crawl is created."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Terms:
    """How leases behave.

    `clock_step_s` is how far virtual time moves at most between two observations; every node must tick more often
    than that. `silence_s` is after how long without a heartbeat a registered node is considered dead; longer than
    a clock's step, or the first call after an outage would kill every node. `lives` is at how many deaths of nodes
    a URL may have been leased alone: with the last of them it is buried as `worker_died`. `affinity_run` is how
    many leases in a row a slot gets from one site while others wait: a context that stays on its site renders
    faster, but the shares of equal sites differ by this much. `max_queued` is how many URLs may wait at once,
    `site_queued` how many of one site and priority; 0 means any number.
    """

    visibility_s: float = 30.0
    clock_step_s: float = 5.0
    silence_s: float = 10.0
    lives: int = 3
    affinity_run: int = 10
    max_queued: int = 0
    site_queued: int = 0

    def share_of(self, shards: int) -> "Terms":
        """Return a shard's part of what may wait in all: at least one."""
        return replace(self, max_queued=-(-self.max_queued // shards))

    def counters(self) -> dict[str, int]:
        """As they stand among the shard's counters."""
        return {
            "visibility": int(self.visibility_s * 1000),
            "step": int(self.clock_step_s * 1000),
            "silence": int(self.silence_s * 1000),
            "lives": self.lives,
            "run": self.affinity_run,
            "max_queued": self.max_queued,
            "site_queued": self.site_queued,
        }

    @classmethod
    def of(cls, counters: Mapping[str, int]) -> "Terms":
        """Return the terms that stand among a shard's counters."""
        return cls(
            visibility_s=counters["visibility"] / 1000,
            clock_step_s=counters["step"] / 1000,
            silence_s=counters["silence"] / 1000,
            lives=counters["lives"],
            affinity_run=counters["run"],
        )


@dataclass(frozen=True, slots=True)
class Politeness:
    """Limits that hold over all nodes; 0 means none.

    An interval is the least time between two visits, `in_flight` how many visits there are at once: to
    one site, by one egress address to one site (`pair`), by one egress address (`egress`), and in all
    (`global`). `burst` is how many visits to a site may be saved up.

    What belongs to one site is decided in its shard alone. What does not is shared out among the shards when
    the crawl is created, since a script sees one shard only. What a shard does not use of the limits in all
    (`global`) is lent to others (`lending`); of an address's limits it is not. A rate holds in the mean; in less
    than an interval times the number of shards, each shard may begin one visit.
    """

    interval_s: float = 0.0
    burst: int = 1
    in_flight: int = 0
    pair_interval_s: float = 0.0
    pair_in_flight: int = 0
    egress_interval_s: float = 0.0
    egress_in_flight: int = 0
    global_interval_s: float = 0.0
    global_in_flight: int = 0

    def most_shards(self, wanted: int) -> int:
        """Return how many shards there can be, so that each has a place in flight of every limit shared out."""
        return min(wanted, *(limit or wanted for limit in (self.egress_in_flight, self.global_in_flight)))

    def share_of(self, shard: int, shards: int) -> "Politeness":
        """Return a shard's part of the limits that do not belong to one site: together they are the limits.

        There must be at most `most_shards`: a share of no place would read as no limit.
        """
        return replace(
            self,
            egress_interval_s=self.egress_interval_s * shards,
            egress_in_flight=_share(self.egress_in_flight, shard, shards),
            global_interval_s=self.global_interval_s * shards,
            global_in_flight=_share(self.global_in_flight, shard, shards),
        )

    def counters(self) -> dict[str, int]:
        """As they stand among the shard's counters."""
        return {
            "interval": round(self.interval_s * 1000),
            "burst": self.burst,
            "limit": self.in_flight,
            "pair_interval": round(self.pair_interval_s * 1000),
            "pair_limit": self.pair_in_flight,
            "out_interval": round(self.egress_interval_s * 1000),
            "out_limit": self.egress_in_flight,
            "all_interval": round(self.global_interval_s * 1000),
            "all_limit": self.global_in_flight,
        }


@dataclass(frozen=True, slots=True)
class SiteTerms:
    """The limits of one site, which replace the crawl's; 0 means the crawl's.

    `first_in_flight` is how many visits there are at once before anything is known of the site, `in_flight` how
    many there may ever be.
    """

    interval_s: float = 0.0
    in_flight: int = 0
    first_in_flight: int = 0

    def stored(self) -> str:
        """Return them as the scripts read them."""
        return f"{round(self.interval_s * 1000)} {self.in_flight} {self.first_in_flight}"


def _share(limit: int, shard: int, shards: int) -> int:
    if not limit:
        return 0
    # The remainder goes to the first shards. Less than one place would be 0, and that is no limit.
    return max(1, limit // shards + (shard < limit % shards))

"""What a crawl's nodes agree on about leasing; kept in Redis when the crawl is created."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """How leases behave.

    `clock_step_s` is how far virtual time moves at most between two observations; every node must tick
    more often than that. `lives` is after how many expiries a URL is buried as `worker_died`.
    `affinity_run` is how many leases in a row a slot gets from one site while others wait.
    """

    visibility_s: float = 30.0
    clock_step_s: float = 5.0
    lives: int = 3
    affinity_run: int = 25

    def counters(self) -> dict[str, int]:
        """As they stand among the shard's counters."""
        return {
            "vis": int(self.visibility_s * 1000),
            "step": int(self.clock_step_s * 1000),
            "lives": self.lives,
            "run": self.affinity_run,
        }


@dataclass(frozen=True, slots=True)
class Politeness:
    """Limits that hold over all nodes; 0 means none.

    `interval_s` is the least time between two visits to one site, `burst` how many may be saved up.
    """

    interval_s: float = 0.0
    burst: int = 1
    in_flight: int = 0
    global_interval_s: float = 0.0
    global_in_flight: int = 0

    def counters(self) -> dict[str, int]:
        """As they stand among the shard's counters."""
        return {
            "iv": int(self.interval_s * 1000),
            "burst": self.burst,
            "lim": self.in_flight,
            "giv": int(self.global_interval_s * 1000),
            "glim": self.global_in_flight,
        }

"""A crawl behind a connection that fails when it is told to."""

from dataclasses import dataclass

from farm.frontier.frontier import RedisFrontier
from tests.frontier.proxy import Fault, FaultyProxy
from tests.frontier.support import Bench

LOST = (Fault.BEFORE, Fault.DURING, Fault.AFTER)


@dataclass
class Shaky:
    """A crawl seen through a faulty connection and through a sound one."""

    bench: Bench
    proxy: FaultyProxy
    frontier: RedisFrontier
    url: str

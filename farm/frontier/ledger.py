"""The shards' counters as numbers of the model."""

from collections.abc import Mapping, Sequence

from farm.frontier.counters import BANDS, STATES
from farm.model.ledger import Ledger, Stats


def stats_of(shards: Sequence[Mapping[str, int]], dead_by_reason: Mapping[str, int]) -> Stats:
    """Sum what the shards have counted; the first one's state is the crawl's."""

    def total(name: str) -> int:
        return sum(counters[name] for counters in shards)

    return Stats(
        ledger=Ledger(
            accepted=total("accepted"),
            queued=sum(total(f"q{band}") for band in range(BANDS)),
            delayed=total("delayed"),
            leased=total("leased"),
            done=total("done"),
            dead=total("dead"),
        ),
        dead_by_reason={reason: count for reason, count in dead_by_reason.items() if count},
        rendered=total("rendered"),
        duplicates=total("duplicates"),
        expired=total("expired"),
        retried=total("retried"),
        sites=total("sites"),
        state=STATES[shards[0]["state"]],
    )

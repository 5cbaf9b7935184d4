"""What the shards have counted, as numbers of the model."""

from collections.abc import Sequence

from farm.frontier.counters import BANDS, STATES, decode
from farm.model.ledger import Ledger, Stats


def stats_of(replies: Sequence[tuple[bytes, Sequence[bytes]]]) -> Stats:
    """Sum what each shard answers to `stats`; the first one's state is the crawl's.

    Raises ValueError where something else stands there.
    """
    shards, dead_by_reason = [], dict[str, int]()
    try:
        for stored, tally in replies:
            shards.append(decode(stored))
            for reason, count in zip(tally[::2], tally[1::2], strict=True):
                dead_by_reason[reason.decode()] = dead_by_reason.get(reason.decode(), 0) + int(count)
        state = STATES[shards[0]["state"]]
    except (IndexError, OverflowError) as error:
        raise ValueError(str(error)) from None

    def total(name: str) -> int:
        return sum(counters[name] for counters in shards)

    return Stats(
        ledger=Ledger(
            accepted=total("accepted"),
            queued=total("suspects") + sum(total(f"q{band}") for band in range(BANDS)),
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
        state=state,
    )

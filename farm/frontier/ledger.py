"""The shard's counters as numbers of the model."""

from collections.abc import Mapping

from farm.model.ledger import Ledger, Stats

BANDS = 10


def stats_of(counters: Mapping[bytes, bytes]) -> Stats:
    """Return what a shard has counted."""

    def number(name: str) -> int:
        return int(counters.get(name.encode(), b"0"))

    dead = {
        name.decode().removeprefix("dead:"): int(value)
        for name, value in counters.items()
        if name.startswith(b"dead:") and int(value)
    }
    return Stats(
        ledger=Ledger(
            accepted=number("accepted"),
            queued=sum(number(f"q{band}") for band in range(BANDS)),
            delayed=number("delayed"),
            leased=number("leased"),
            done=number("done"),
            dead=number("dead"),
        ),
        dead_by_reason=dead,
        rendered=number("rendered"),
        duplicates=number("duplicates"),
        expired=number("expired"),
        retried=number("retried"),
        sites=number("sites"),
        state=counters.get(b"state", b"running").decode(),
    )

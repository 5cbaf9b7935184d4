"""A shard's counters as they are stored, and the crawl's numbers that they add up to.

They are one string of numbers, in the order that `lua/lib/layout.lua` declares.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files

from farm.model.crawl import Ledger, Stats

BANDS = 10
STATES = ("running", "paused", "draining", "stopped")


_TEXT = (files("farm.frontier") / "lua" / "lib" / "layout.lua").read_text()


def _declared(text: str) -> dict[str, int]:
    declared: dict[str, int] = {}
    for names, numbers in re.findall(r"^local ([A-Z_, ]+) = ([0-9, ]+)$", text, re.MULTILINE):
        pairs = zip(names.split(", "), numbers.split(", "), strict=True)
        declared.update({name.lower(): int(number) for name, number in pairs})
    return declared


def _kinds_of(layout: str) -> str:
    kinds: list[str] = re.findall(rf"^local {layout}_LAYOUT, .* = '<([di]+)'", _TEXT, re.MULTILINE)
    return kinds[0]


# Names that stand behind this line are the tallies, in Lua a table of their own.
_COMMON, _TALLIES = _TEXT.split("local COMMON_LAYOUT")
_KINDS = _kinds_of("COMMON") + _kinds_of("TALLY")
_PLACES = _declared(_COMMON)
_PLACES |= {name: len(_kinds_of("COMMON")) + place for name, place in _declared(_TALLIES).items()}
_FIRST_BAND = _PLACES.pop("q")
PLACES: Mapping[str, int] = {**_PLACES, **{f"q{band}": _FIRST_BAND + band for band in range(BANDS)}}
"""Counter -> its place, from 1 as in Lua."""
_LAYOUT = struct.Struct(f"<{_KINDS}")


def in_order(counters: Mapping[str, float]) -> list[str]:
    """Return the given counters as `open` takes them: all in order, 0 where nothing is given."""
    values = [0.0] * len(_KINDS)
    for name, value in counters.items():
        values[PLACES[name] - 1] = value
    return [f"{value:.0f}" for value in values]


def decode(stored: bytes) -> dict[str, int]:
    """Return the counters by name; raises ValueError where they are none."""
    try:
        values = _LAYOUT.unpack(stored)
    except struct.error as error:
        raise ValueError(str(error)) from None
    return {name: int(values[place - 1]) for name, place in PLACES.items()}


def encode(counters: Mapping[str, float]) -> bytes:
    """Return the counters as they are stored."""
    kinds = (int if kind == "i" else float for kind in _KINDS)
    return _LAYOUT.pack(*(kind(value) for kind, value in zip(kinds, in_order(counters), strict=True)))


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

"""The stored form of a URL's failed visits: a line each, with its time and its facts (JSON).

Stored values are checked field by field, as anybody may have written to Redis; unreadable ones are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from farm.model.outcome import FailedVisit

DETAIL_CHARS = 200
"""Characters of each visit's detail; the dead letter has more of the last one's."""
_NAME_CHARS = 100
_MOST_FILES = 4
_MOST_TIMINGS = 10
_PATH_CHARS = 200


@dataclass(frozen=True, slots=True)
class PastVisit:
    """A visit that failed, and when that was, by the server's time."""

    at: datetime | None
    visit: FailedVisit


def encode_visit(visit: FailedVisit) -> bytes:
    """Return a visit in the form for `nack`: one line, without empty fields."""
    fields = {
        "reason": _cut(visit.reason),
        "detail": _cut(" ".join(visit.detail.split()), DETAIL_CHARS),
        "phase": _cut(visit.phase),
        "node": _cut(visit.node),
        "context": _cut(visit.context),
        "proxy": _cut(visit.proxy or ""),
        "status": visit.status,
        "timings_ms": dict(visit.timings_ms),
        "snapshot": list(visit.snapshot),
    }
    return orjson.dumps({name: value for name, value in fields.items() if value})


def decode_history(stored: bytes | None) -> tuple[PastVisit, ...]:
    """Return the visits, the first one first."""
    lines = (stored or b"").split(b"\n")
    return tuple(past for past in map(_past_visit, lines) if past is not None)


def moment(at_ms: bytes) -> datetime | None:
    """Return a time that is stored in milliseconds; None if it is invalid."""
    try:
        return datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    except (ArithmeticError, OSError, ValueError):
        return None


def _past_visit(line: bytes) -> PastVisit | None:
    at_ms, _, text = line.partition(b" ")
    try:
        fields = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    texts = {name: _text(fields, name) for name in ("reason", "detail", "phase", "node", "context", "proxy")}
    return PastVisit(
        moment(at_ms),
        FailedVisit(
            reason=texts["reason"],
            detail=texts["detail"],
            phase=texts["phase"],
            node=texts["node"],
            context=texts["context"],
            proxy=texts["proxy"] or None,
            status=_count(fields.get("status")),
            timings_ms=_timings(fields.get("timings_ms")),
            snapshot=_paths(fields.get("snapshot")),
        ),
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return _cut(value, DETAIL_CHARS) if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _timings(value: Any) -> dict[str, int]:
    found = value if isinstance(value, dict) else {}
    return {_cut(name): _count(took) for name, took in list(found.items())[:_MOST_TIMINGS]}


def _paths(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    return tuple(_cut(path, _PATH_CHARS) for path in found[:_MOST_FILES] if isinstance(path, str))


def _cut(text: str, most: int = _NAME_CHARS) -> str:
    return text[:most]

"""The items that handlers emit, in the form for sinks: JSON values by names of columns."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, cast

import orjson
from pydantic import BaseModel

from farm.api.selection import Selected
from farm.sinks.record import json_line

MOST_ITEMS = 10_000
MOST_BYTES = 20_000_000
"""Bytes of the items of a page, as JSON."""
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_NAME_BYTES = 63
_INSTEAD = ", of which .text or .attr(name) can be kept"


class Emitted:
    """The items that a handler emits on one page."""

    __slots__ = ("_left_bytes", "items")

    def __init__(self) -> None:
        self.items: list[tuple[str, dict[str, Any]]] = []
        self._left_bytes = MOST_BYTES

    def add(self, item: Any, kind: str | None) -> None:
        """Add a copy of an item. Raises TypeError if it is not an item, ValueError if it cannot be kept."""
        if isinstance(item, type) or (not isinstance(item, Mapping | BaseModel) and not is_dataclass(item)):
            raise TypeError(
                f"an item is a dict, a dataclass or a pydantic model, and not {type(item).__name__}"
            )
        named = kind or ("item" if isinstance(item, Mapping) else type(item).__name__.lower())
        if not _KIND.fullmatch(named):
            raise ValueError(
                f"{named[:80]!r} is not a kind of item; use letters, digits and _, a letter first"
            )
        data = _json(item)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ValueError(f"the items of a page have more than {MOST_BYTES:,} bytes")
        if len(self.items) >= MOST_ITEMS:
            raise ValueError(f"a page has more than {MOST_ITEMS:,} items")
        loaded: object = orjson.loads(data)
        if not isinstance(loaded, dict):
            # Such as a RootModel of a list.
            raise TypeError(f"an item has fields with names, which {named} has not")
        values = cast("dict[str, Any]", loaded)
        for name in values:
            if not name or name.startswith("_") or "\0" in name or len(name.encode()) > _NAME_BYTES:
                raise ValueError(
                    f"{name[:80]!r} is not a field name; it has 1 to {_NAME_BYTES} bytes and does not begin with _"
                )
        if len({name.lower() for name in values}) < len(values):
            raise ValueError("two field names of an item differ only in case, which databases ignore")
        self.items.append((named, values))


def _json(item: Any) -> bytes:
    """Return an item as JSON; half of a surrogate pair, as pages may contain, is replaced."""
    try:
        return orjson.dumps(item, default=_plain)
    except TypeError as error:
        if "surrogates" not in str(error):
            raise TypeError(f"an item cannot be written as JSON ({error.__cause__ or error})") from error
    try:
        return json_line(_unfolded(item))
    except (RecursionError, ValueError) as error:
        raise TypeError(f"an item cannot be written as JSON ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    kind = type(value).__name__
    raise TypeError(f"it has a value of the type {kind}{_INSTEAD if isinstance(value, Selected) else ''}")


def _unfolded(value: Any) -> Any:
    """Return a value in plain JSON types."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    elif isinstance(value, BaseModel | Decimal):
        value = _plain(value)
    if isinstance(value, Mapping):
        return {name: _unfolded(one) for name, one in cast("Mapping[str, Any]", value).items()}
    return [*map(_unfolded, cast("list[Any]", value))] if isinstance(value, list | tuple) else value

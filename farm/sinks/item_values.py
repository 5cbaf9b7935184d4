"""Items as columns have them: where they are beside pages, their names, and values of a sink's types.

All raise `RenderError` of kind `corrupt` for what cannot be written: that is its page's fault.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from farm.model.errors import RenderError
from farm.model.outcome import FailureKind
from farm.model.record import ITEM_KEYS, ItemColumns, ItemType, Record
from farm.model.text import well_formed
from farm.sinks.record import json_line

ITEMS = "items"
FIELDS = "_fields"
"""The column of all fields, where it is not known which ones there are."""
MOST_COLUMNS = 1_000
_NAME_BYTES = 63
"""Of a column's name: PostgreSQL cuts longer ones."""
_SHOWN_CHARS = 60
_MOST_NUMBER = 1e308


def items_path(path: Path) -> Path:
    """Return where the items of a file of pages are: `items.jsonl`, `items.csv`, `shop-items.jsonl.gz`."""
    stem, mark, suffix = path.name.partition(".")
    return path.with_name(f"{ITEMS if stem == 'pages' else f'{stem}-{ITEMS}'}{mark}{suffix}")


def plain_value(value: Any) -> str | int | float | bool | None:
    """Return a value for a column without a type: lists, objects and large integers become JSON.

    Raises `RenderError`.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return value
    if not isinstance(value, str):
        return as_json(value)
    return well_formed(value)


def rows_of_items(record: Record) -> Sequence[Mapping[str, Any]] | None:
    """Return the items of a record as rows; values are texts, numbers, booleans, or lists and objects.

    Raises `RenderError` for names that are not column names.
    """
    for item in record.items or ():
        for name in item:
            if not name or "\0" in name or len(name.encode("utf-8", "replace")) > _NAME_BYTES:
                raise _corrupt(f"{name[:80]!r} is not a column name")
    return record.items


def check_columns(names: Iterable[str]) -> None:
    """Raise `RenderError` if a table would have more columns than `MOST_COLUMNS`."""
    count = len({*names})
    if count > MOST_COLUMNS:
        raise _corrupt(f"its items would need {count:,} columns; at most {MOST_COLUMNS:,} are possible")


def as_json(value: Any) -> str:
    """Return a list or an object as JSON. Raises `RenderError`."""
    return item_line(value)[:-1].decode()


def item_line(item: Any) -> bytes:
    """Return an item, or items, as a line of JSON. Raises `RenderError`."""
    try:
        return json_line(item)
    except ValueError as error:
        raise _corrupt(str(error)) from error


def typed_items(
    items: Iterable[Mapping[str, Any]] | None, columns: ItemColumns | None
) -> list[dict[str, Any]]:
    """Return items with values of the declared types, or with all fields as JSON where none are declared.

    Raises `RenderError` if a value has another type.
    """
    typed = []
    for item in items or ():
        row = {name: item[name] for name in ITEM_KEYS}
        if columns is None:
            row[FIELDS] = plain_value({name: value for name, value in item.items() if name not in row})
        else:
            row |= {name: _typed(name, item.get(name), kind) for name, kind in columns.items()}
        typed.append(row)
    return typed


def _typed(name: str, value: Any, kind: ItemType) -> Any:
    if value is None:
        return None
    if kind in {"text", "json"}:
        plain = plain_value(value)
        return plain if isinstance(plain, str) else as_json(plain)
    if kind == "boolean" and isinstance(value, bool):
        return value
    # A float cannot hold every integer, and an integer no infinity.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_NUMBER:
        if kind == "number":
            return float(value)
        if kind == "integer" and value == int(value) and abs(value) < 1 << 63:
            return int(value)
    raise _corrupt(f"{name} is declared {kind}, and the value is {str(value)[:_SHOWN_CHARS]!r}")


def _corrupt(why: str) -> RenderError:
    return RenderError(FailureKind.CORRUPT, f"an item cannot be written ({why})")

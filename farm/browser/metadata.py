"""The metadata of a page, as read by `js/metadata.js`, with its JSON-LD parsed.

Invariants: the result can be written as JSON, whatever the page contains. A script that is not JSON-LD is left
out and named in `errors`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

MOST_ERRORS = 10
_REASON_CHARS = 200
_OPENINGS = ("<!--", "//<![CDATA[", "// <![CDATA[", "/*<![CDATA[*/", "/* <![CDATA[ */", "<![CDATA[")
_CLOSINGS = ("-->", "//]]>", "// ]]>", "/*]]>*/", "/* ]]> */", "]]>", ";")
_MOST_PARTS = 50_000
"""Brackets and commas: parsing this many takes about 20 ms, in which nothing else runs."""
_SURELY_FLAT = 200
"""A text with fewer brackets cannot be nested deeper than can be written."""
_AROUND = 6
"""Levels of a record around a value of its JSON-LD."""
_INT_DIGITS = 18


def metadata_of(said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return `{json_ld, open_graph, twitter, microdata, errors}` from the answer of `metadataOf`; None for null.

    `json_ld` has the objects of all scripts in order, those of a list one by one.
    """
    if said is None:
        return None
    objects: list[Any] = []
    errors: list[str] = []
    for number, text in enumerate(said["ld"], 1):
        try:
            objects += _objects(text)
        except ValueError as error:
            errors.append(f"JSON-LD {number}: {str(error)[:_REASON_CHARS]}")
    return {
        "json_ld": objects,
        "open_graph": said["graph"],
        "twitter": said["twitter"],
        "microdata": said["items"],
        "errors": errors[:MOST_ERRORS],
    }


def _objects(text: str) -> list[Any]:
    """Return the objects of a JSON-LD script; raises ValueError if it is not one, or is nested too deep."""
    brackets = text.count("{") + text.count("[")
    if brackets + text.count(",") > _MOST_PARTS:
        raise ValueError("it has too many parts")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _lenient(text)
    if brackets > _SURELY_FLAT:
        _check_depth(value)
    found = value if isinstance(value, list) else [value]
    objects = [one for one in found if isinstance(one, dict)]
    if found and not objects:
        raise ValueError("it is neither an object nor a list of objects")
    return objects


def _lenient(text: str) -> Any:
    """Parse common deviations: JSON in a comment, line breaks in strings, half of a surrogate pair."""
    bare = text.strip()
    for opening in _OPENINGS:
        bare = bare.removeprefix(opening).lstrip()
    for closing in _CLOSINGS:
        bare = bare.removesuffix(closing).rstrip()
    if not bare:
        return []
    try:
        return json.loads(bare, strict=False, parse_constant=_refuse, parse_int=_integer, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _check_depth(value: Any) -> None:
    for _ in range(_AROUND):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError as error:
        if "Recursion" in str(error):
            raise ValueError("it is nested too deep") from None


def _integer(digits: str) -> int | float:
    """Return the number as orjson does: numbers beyond 64 bits lose digits."""
    return int(digits) if len(digits) <= _INT_DIGITS else _finite(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

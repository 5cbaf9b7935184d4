"""Values in JSON by a path: `Product.offers.price`, `items[0].name`, `["a.b"][*]`.

A step into a list goes into each of its elements: a path need not know whether a site wrote one or several.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Step = str | int | None
"""A key, a place in a list (from the end where it is negative), or None for all of a list."""
MOST_FOUND = 10_001
"""As many as of the elements of a document."""
_DEPTH = 32
_STEP = re.compile(r"""\[(?:(-?\d{1,6})|(\*)|"([^"]+)"|'([^']+)')\]|\.?([^.\[\]"'\s][^.\[\]"']*)""")


def parse_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path. Raises `ValueError` with what is wrong."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (at == 0 and text.startswith(".")):
            raise ValueError(
                f"{text!r} is not a path: see character {at + 1}; write one such as offers[0].price"
            )
        number, star, *names = found.groups()
        steps.append(int(number) if number is not None else None if star else next(filter(None, names)))
        at = found.end()
    if not steps:
        raise ValueError("it is empty; write a path such as offers[0].price")
    return tuple(steps)


def values_at(value: Any, steps: Sequence[Step]) -> list[Any]:
    """Return the values at the path, in order, `MOST_FOUND` at most; nulls are left out."""
    found = [value]
    for step in steps:
        found = [one for each in found for one in _step(each, step)][:MOST_FOUND]
    return [one for one in found if one is not None]


def of_type(objects: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the JSON-LD objects whose `@type` is the name, nested ones too, in order."""
    found: list[Mapping[str, Any]] = []
    waiting = [(objects, 0)]
    while waiting and len(found) < MOST_FOUND:
        value, depth = waiting.pop()
        if isinstance(value, Mapping):
            types = value.get("@type")
            if name in ([types] if isinstance(types, str) else types if isinstance(types, list) else ()):
                found.append(value)
            inner = list(value.values())
        else:
            inner = list(value) if isinstance(value, list | tuple) else []
        if depth < _DEPTH:
            waiting.extend(
                (one, depth + 1) for one in reversed(inner) if isinstance(one, Mapping | list | tuple)
            )
    return found


def _step(value: Any, step: Step) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        if step is None:
            return value
        if isinstance(step, int):
            return value[step : step + 1 or None]
        return [one.get(step) for one in value if isinstance(one, Mapping)]
    if isinstance(value, Mapping):
        if isinstance(step, str):
            return [value.get(step)]
        # A single value counts as a list of one.
        return [value] if step in {0, -1, None} else []
    return [value] if step in {0, -1, None} and value is not None else []

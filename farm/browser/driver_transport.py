"""What passes between Playwright and its driver: less of it, and read faster.

Both are help that Playwright does not offer: where another version of it is built differently, its own way stays.
"""

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import orjson

QUIET = files("farm.browser").joinpath("js/quiet.cjs").read_text(encoding="utf-8")
"""What the driver loads first: it keeps to itself what no tab looks at."""


def decoded(text: str | bytes) -> Any:
    """Return what the JSON says; half a surrogate pair, as pages write it, stays as it is. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def use_orjson(manager: object) -> bool:
    """Have messages read and written by orjson, and say whether this Playwright is built so that they can be."""
    transport = getattr(getattr(manager, "_client", None), "_transport", None)
    own: Callable[[Any], bytes] | None = getattr(transport, "serialize_message", None)
    if own is None or not hasattr(transport, "deserialize_message"):
        return False

    def encoded(message: Any) -> bytes:
        try:
            return orjson.dumps(message)
        except orjson.JSONEncodeError:
            return own(message)

    vars(transport).update(serialize_message=encoded, deserialize_message=decoded)
    return True

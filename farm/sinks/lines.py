"""One line of JSON: what to do with the few values that JSON has no place for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def json_line(fields: Mapping[str, Any]) -> bytes:
    r"""Return the fields as one line of UTF-8 JSON; raises `ValueError` for what cannot be written.

    A page's script can put half of a surrogate pair (`\ud800`) into a text, which no UTF-8 can hold:
    it becomes the replacement character, as it does when a browser sends it.
    """
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        pass
    # Rare and slow: mend the texts, and leave integers beyond 64 bits to the standard library, which holds up all
    # threads for three times as long.
    try:
        mended = _mended(fields)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    try:
        return orjson.dumps(mended, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        pass
    try:
        text = json.dumps(mended, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return text.encode() + b"\n"


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(key): _mended(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_mended(one) for one in value]
    return value

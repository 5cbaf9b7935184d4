"""One line of JSON: what to do with the few values that JSON has no place for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

# Such characters stand in texts alone: JSON has no place for them elsewhere.
_LINE_ENDS = tuple((char.encode(), rb"\u%04x" % ord(char)) for char in ("\x85", "\u2028", "\u2029"))
_LEADS = ((b"\xc2", (b"\x85",)), (b"\xe2", (b"\x80\xa8", b"\x80\xa9")))
_LOOKS = 5000


def json_line(fields: Mapping[str, Any]) -> bytes:
    """Return the fields as one line of UTF-8 JSON; raises `ValueError` for what cannot be written.

    What other readers take for the end of a line (U+0085, U+2028, U+2029) is escaped.
    """
    line = _encoded(fields)
    if not line.isascii() and any(_may_have(line, lead, rest) for lead, rest in _LEADS):
        for raw, escape in _LINE_ENDS:
            line = line.replace(raw, escape)
    return line


def _may_have(line: bytes, lead: bytes, rest: tuple[bytes, ...]) -> bool:
    """Look for a character by its first byte: a search for all of it would cost 100 times as much."""
    at = line.find(lead)
    for _ in range(_LOOKS):
        if at < 0:
            return False
        if line.startswith(rest, at + 1):
            return True
        at = line.find(lead, at + 1)
    return True


def _encoded(fields: Mapping[str, Any]) -> bytes:
    r"""Return the fields as JSON with a newline; raises `ValueError` for what cannot be written.

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

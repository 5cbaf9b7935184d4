"""Write the keywords of `Farm` in Python from the declarations of the options: `farm/api/options.py`."""

import re
import sys
import types
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from farm.settings.commands import RunSettings
from farm.settings.units import parse_count_or_auto, parse_mode

TARGET = Path(__file__).parents[1] / "farm/api/options.py"
HEAD = '''"""The keywords of `Farm`: all options of `farm run`. Written by `scripts/python_options.py`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypedDict


class Options(TypedDict, total=False):
    """What `farm run` takes, in the same forms; None stands for the default, which is in brackets."""

'''
LEFT_OUT = {"urls", "app"}
"""What is given to `run` and `stream` themselves, and what the object itself is."""
WIDTH = 105


def source() -> str:
    """Return the whole module."""
    parts = [HEAD]
    for name, field in RunSettings.model_fields.items():
        if name not in LEFT_OUT:
            text = (field.description or "").replace("%%", "%").replace('"', "'")
            parts.append(f'    {name}: {_type(field)}\n    """{_wrapped(text)}"""\n')
    return "".join(parts)


def _wrapped(text: str) -> str:
    """Return a description as the lines of a docstring."""
    text += "" if text.endswith(".") else "."
    if len(text) < WIDTH - len('""" """'):
        return text
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= WIDTH - 10:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n    ".join(lines) + "\n    "


def _type(field: FieldInfo) -> str:
    """Return the type of what may be written for an option in Python."""
    annotation = _plain(field.annotation)
    validators = {getattr(one, "func", None) for one in field.metadata}
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if parse_count_or_auto in validators:
        shown = 'int | Literal["auto"]'
    elif parse_mode in validators:
        shown = "int | str"
    else:
        shown = _shown(annotation)
    if "alone" in extra:
        shown += " | bool"
    return f"{shown} | None"


def _shown(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return f"Literal[{', '.join(_quoted(one) for one in get_args(annotation))}]"
    if get_origin(annotation) is tuple:
        return "Sequence[str]" if get_args(annotation)[1:] == (Ellipsis,) else "tuple[int, int] | str"
    if get_origin(annotation) is dict:
        return "Mapping[str, Mapping[str, Any]]"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return f"Literal[{', '.join(_quoted(one) for one in annotation)}]"
    if annotation in {bool, int, str}:
        return str(annotation.__name__)
    return {Path: "str | PathLike[str]", datetime: "str | datetime"}.get(annotation, "str")


def _quoted(value: object) -> str:
    return f'"{value}"'


def _plain(annotation: Any) -> Any:
    """Return a type without what validates it, and without None."""
    while get_origin(annotation) in {Annotated, Union, types.UnionType}:
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def main() -> int:
    """Write the module, and say whether it was another one before."""
    text = source()
    before = TARGET.read_text("utf-8") if TARGET.exists() else ""
    TARGET.write_text(text, "utf-8")
    name = re.sub(r".*/farm/", "farm/", str(TARGET))
    sys.stdout.write(f"{name}: {'unchanged' if text == before else 'written'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

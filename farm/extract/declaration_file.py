"""A declaration of what to extract, read from a TOML file.

A mistake in it is reported before anything is fetched, in one sentence with file, line and column, and what to
write instead.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from farm.extract.declaration import Declaration, FieldRule, ItemRule, Type
from farm.extract.positions import key_positions
from farm.model.errors import UsageError
from farm.resources.toml_file import read_toml

LARGEST_BYTES = 1 << 20
_KIND_KEYS = len(("item", "KIND", "KEY"))
_BEGIN = "begin with a kind of items and its fields, such as [item.product.fields]"
_FIELD = 'write a selector, such as "h1", or a table, such as { css = "h1", type = "text" }'
_TO_WRITE = {
    "locale": "write a language, such as en-GB",
    "currency": "write three capital letters, such as EUR",
    "css": "write a selector, such as h1",
    "xpath": "write an expression, such as //h1",
    "item": _BEGIN,
}
"""What a key is to have, where it has something else."""
_OF_TYPES = {
    "bool_type": "write true or false",
    "float_type": "write a number, without quotes",
    "string_type": "write a text, in quotes",
}


def read_declaration(path: Path, named_by: str = "--extract") -> Declaration:
    """Read and check a file, given by the option `named_by`. Raises UsageError with file, line and column."""
    text, content = read_toml(named_by, path, LARGEST_BYTES)
    try:
        return Declaration.model_validate(content)
    except ValidationError as error:
        raise UsageError(_sentence(path, text, _telling(error.errors()))) from None


def _telling(errors: list[ErrorDetails]) -> ErrorDetails:
    """Return the error that tells most: what is missing may be there under a misspelt name."""
    return next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])


def _sentence(path: Path, text: str, error: ErrorDetails) -> str:
    places = key_positions(text)
    where = tuple(
        part
        for part in error["loc"]
        if isinstance(part, int) or not part.startswith(("function-", "nullable"))
    )
    if where[-1:] == ("css",) and where not in places and where[:-1] in places:
        # A field that is a text: its key is the field's own.
        where = where[:-1]
    said = error["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:] if not said.startswith("`") else said
    known = next((where[:end] for end in range(len(where), 0, -1) if where[:end] in places), ())
    # What is wrong with a name is said of the table that it stands in.
    named = (key for key in places if len(key) > len(where) and said.startswith(repr(key[-1])))
    line, column = places.get(next(named, known), (1, 1))
    name = ".".join(map(str, where))
    if error["type"] == "extra_forbidden":
        models: dict[int, type[BaseModel]] = {1: Declaration, _KIND_KEYS: ItemRule}
        model = models.get(len(where), FieldRule)
        meant = get_close_matches(str(where[-1]), model.model_fields, 1)
        said = f"unknown key{f' (did you mean {meant[0]}?)' if meant else ''}; the keys here are "
        said += ", ".join(model.model_fields)
        if not meant and model is not FieldRule:
            kind = ".".join(map(str, where[:-1])) or "item.product"
            said += f", and fields are in a table such as [{kind}.fields]"
    elif error["type"] == "missing" or (where and where[-1] == "fields" and error["type"] == "too_short"):
        said = (
            _BEGIN if where == ("item",) else f'write [{name}], and below it the fields, such as name = "h1"'
        )
    elif error["type"] == "literal_error":
        said = f"write one of {', '.join(get_args(Type))}"
    elif error["type"] in {"model_type", "dict_type"}:
        said = _TO_WRITE.get(str(where[-1]), _FIELD if len(where) > _KIND_KEYS else _BEGIN)
    elif error["type"] in {"string_pattern_mismatch", "string_too_short"}:
        said = _TO_WRITE.get(str(where[-1]), _FIELD)
    else:
        said = _OF_TYPES.get(error["type"], said)
    return f"{path}, line {line}, column {column}: {name or 'the declaration'}: {said.rstrip('.')}."

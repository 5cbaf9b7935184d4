"""Flags from fields: the parser of a command is made from its settings, so that an option has one declaration.

`json_schema_extra` of a field has what its type does not say: `metavar`, `positional`, `short`, and `first` for
common options, which come first in the help of a command with many options.
"""

import argparse
import re
import types
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from farm.model.errors import UsageError
from farm.settings.origin import did_you_mean

if TYPE_CHECKING:
    from farm.settings.load import CommandSettings

TABLES = frozenset({"site"})
"""Settings that are tables of `farm.toml`, without a flag or a variable."""
FIRST = "needed first"
OWN = "this command"
"""What a command has alone."""
MANY = 20
"""In the help of a command with this many options the common ones form a group of their own."""
DEFAULT_TEXT = re.compile(r"\s*\[[^\[\]]*\]$")


class FlagParser(argparse.ArgumentParser):
    """An argument parser that reports a wrong flag like any other wrong input."""

    def error(self, message: str) -> Any:
        """Raise UsageError instead of printing the usage and exiting."""
        raise UsageError(f"{self._said(message)}; see `{self.prog} --help`.")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments; an option with an optional value takes the next argument only if that is valid.

        Otherwise argparse would take the next argument, usually a URL, for its value.
        """
        alone = {flag: one for one in self._actions if one.nargs == "?" for flag in one.option_strings}
        found = list(arguments)
        for at, argument in enumerate(found):
            if argument == "--":
                break
            action, following = alone.get(argument), found[at + 1 : at + 2]
            if action is not None and not (following and following[0] in (action.choices or ())):
                found[at] = f"{argument}={action.const}"
        return self.parse_args(found)

    def _said(self, message: str) -> str:
        known = [flag for action in self._actions for flag in action.option_strings]
        _, unknown, rest = message.partition("unrecognized arguments: ")
        if unknown:
            given = rest.split()[0].partition("=")[0]
            if not given.startswith("-"):
                return f"`{self.prog}` takes no argument {given!r}; an output folder is given by --output"
            return f"{given} is not an option of `{self.prog}`{did_you_mean(given, known)}"
        found = re.match(r"argument (--[\w-]+): invalid choice: '(.*?)' \(", message)
        action = next((one for one in self._actions if found and found[1] in one.option_strings), None)
        if found is not None and action is not None and action.choices:
            choices = [str(one) for one in action.choices]
            meant = did_you_mean(found[2], choices)
            return f"{found[1]} {found[2] or repr('')}: write one of {', '.join(choices)}{meant}"
        found = re.match(r"argument (--[\w-]+).*: expected one argument", message)
        action = next((one for one in self._actions if found and found[1] in one.option_strings), None)
        if found is None or action is None:
            return message
        forms = ", ".join(map(str, action.choices)) if action.choices else action.metavar
        return f"{found[1]} needs a value: {forms} ({DEFAULT_TEXT.sub('', action.help or '')})"


def parser_for(kind: "type[CommandSettings]", prog: str, about: str) -> FlagParser:
    """Return the command's parser: the common options, then one group of options for each model of settings."""
    named = [field.json_schema_extra for field in kind.model_fields.values()]
    operands = [
        operand_form(str(one["metavar"])) for one in named if isinstance(one, dict) and one.get("positional")
    ]
    parser = FlagParser(
        prog=prog,
        usage=" ".join([prog, "[options]", *operands]),
        description=about,
        allow_abbrev=False,
        argument_default=None,
    )

    def declarer(name: str) -> type:
        """Return the model whose declaration of the field applies."""
        return next(base for base in kind.__mro__ if name in getattr(base, "__annotations__", {}))

    first = [name for name, field in kind.model_fields.items() if extra_of(field).get("first")]
    first = first if len(kind.model_fields) >= MANY else []
    if first:
        group = parser.add_argument_group(FIRST)
        for name in first:
            add_flag(group, name, kind.model_fields[name])
    for model in reversed([base for base in kind.__mro__ if base.__name__.endswith("Settings")]):
        own = [
            name
            for name in model.__annotations__
            if name in kind.model_fields
            and name not in TABLES
            and name not in first
            and declarer(name) is model
        ]
        if own:
            title = (model.__doc__ or model.__name__).splitlines()[0].rstrip(".").lower()
            group = parser.add_argument_group(OWN if model is kind else title)
            for name in own:
                add_flag(group, name, kind.model_fields[name])
    return parser


def operand_form(metavar: str) -> str:
    """Return how a usage shows what a command takes besides options; several different ones show themselves."""
    return metavar if " " in metavar else f"[{metavar} ...]"


def add_flag(group: Any, name: str, field: FieldInfo) -> None:
    """Add the flag of a field to a group of options."""
    extra = extra_of(field)
    plain = without_none(field.annotation)
    keywords: dict[str, Any] = {"help": field.description, "dest": name}
    if extra.get("positional"):
        group.add_argument(name, nargs="*", metavar=extra["metavar"], help=field.description)
        return
    if plain is bool:
        keywords["action"] = argparse.BooleanOptionalAction
    elif get_origin(plain) is Literal:
        keywords["choices"] = get_args(plain)
    elif isinstance(plain, type) and issubclass(plain, StrEnum):
        keywords["choices"] = [str(member) for member in plain]
    else:
        keywords["metavar"] = extra.get("metavar", name.upper())
        if get_origin(plain) is tuple and name not in {"viewport", "block"}:
            keywords["action"] = "append"
    flags = ["--" + flag_of(name, field).replace("_", "-")]
    if "alone" in extra:
        # It was a flag of yes or no once, and still is where no value follows.
        keywords |= {"nargs": "?", "const": extra["alone"]}
        no = {"action": "store_const", "const": extra["alone_no"], "help": argparse.SUPPRESS}
        group.add_argument(flags[0].replace("--", "--no-", 1), dest=name, **no)
    if extra.get("short"):
        flags.insert(0, f"-{extra['short']}")
    group.add_argument(*flags, **keywords)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """Return what an option declares beyond its type."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def without_none(annotation: Any) -> Any:
    """Return the type of an optional field."""
    if get_origin(annotation) is types.UnionType:
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def flag_of(name: str, field: FieldInfo) -> str:
    """Return the name of the flag of a field, with underscores."""
    extra = extra_of(field)
    return str(extra.get("flag", name))

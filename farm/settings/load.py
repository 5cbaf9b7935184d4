"""From flags, environment and `farm.toml` to settings: flag > environment > `farm.toml` > default.

The flags are made from the fields, so that an option has one declaration.
"""

import argparse
import os
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from farm.model.errors import UsageError
from farm.model.secret import SecretUrl
from farm.settings.origin import CONFIG, PREFIX, check_environment, did_you_mean, flags_of
from farm.settings.sites import blamed

TABLES = frozenset({"site"})
"""Settings that are tables of `farm.toml`, and neither a flag nor a variable."""
_DEFAULT = re.compile(r"\s*\[[^\[\]]*\]$")
_NOTHING = (None, False, (), "off", SecretUrl("embedded"))
"""What an option is that does nothing."""
S = TypeVar("S", bound="CommandSettings")


class CommandSettings(BaseSettings):
    """Base of every command's settings."""

    # A default is what the field holds, such as seconds, and nothing that a user may write.
    model_config = SettingsConfigDict(
        env_prefix="FARM_", toml_file=CONFIG, extra="ignore", frozen=True, validate_default=False
    )

    goes_on: ClassVar[bool] = False
    """Whether a crawl that goes on gives what the user leaves out."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources; what comes first wins."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong flag as the farm reports every wrong input."""

    def error(self, message: str) -> Any:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{self._said(message)}; see `{self.prog} --help`.")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; an option whose value may be left out takes one only where it is one of its own.

        Else argparse would take what follows, mostly a URL, for its value.
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
            return f"{given} is no option of `{self.prog}`{did_you_mean(given, known)}"
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
        return f"{found[1]} needs a value: {forms} ({_DEFAULT.sub('', action.help or '')})"


def load(
    kind: type[S], arguments: Sequence[str], prog: str, about: str, keywords: Mapping[str, Any] | None = None
) -> S:
    """Return the settings of a command from its arguments; raises UsageError with the remedy.

    `keywords` are those of a `Farm` in Python: a flag wins over them, and they over the environment.
    """
    given = vars(parser_for(kind, prog, about).parse(arguments))
    return _settings(kind, {**(keywords or {}), **_said(given)}, f"{prog} --help")


def load_keywords(kind: type[S], keywords: Mapping[str, Any]) -> S:
    """Return settings from the keywords of a call in Python; raises UsageError with the remedy."""
    unknown = next((name for name in keywords if name not in kind.model_fields), None)
    if unknown is not None:
        raise UsageError(f"{unknown!r} is no option{did_you_mean(unknown, kind.model_fields)}.")
    return _settings(kind, _said(keywords), "farm run --help")


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None and value != []}


def _settings(kind: type[S], given: Mapping[str, Any], named_by: str) -> S:
    _check_file()
    check_environment(_every_key())
    if "browser" in kind.model_fields and "browser" not in given:
        _check_browser()
    try:
        settings = kind(**given)
    except ValidationError as error:
        raise UsageError(_sentence(kind, error)) from None
    except SettingsError as error:
        raise UsageError(f"{error}; see `{named_by}`.") from None
    if not kind.goes_on:
        check_needs(settings, flags_of(settings.model_fields_set))
    return settings


def check_needs(settings: CommandSettings, flags: Sequence[str]) -> None:
    """Raise UsageError for a flag that has no effect, because another one is missing.

    What the environment or `farm.toml` gives is for many commands, and may go without.
    """
    fields = type(settings).model_fields
    for name in flags:
        extra = _extra(fields[name])
        needed = str(extra.get("needs", ""))
        if needed and getattr(settings, needed) in _NOTHING and getattr(settings, name) not in _NOTHING:
            form = _extra(fields[needed]).get("metavar", "")
            flag, needed = (_flag(one, fields[one]).replace("_", "-") for one in (name, needed))
            raise UsageError(
                f"--{flag} has no effect without --{needed}; give --{needed}"
                f"{' ' * bool(form)}{form} too, or leave it out."
            )


def _every_key() -> set[str]:
    """Return the options of all commands."""
    from farm.settings import commands

    kinds = [
        one for one in vars(commands).values() if isinstance(one, type) and issubclass(one, BaseSettings)
    ]
    return {name for kind in kinds for name in kind.model_fields}


def _known_keys() -> set[str]:
    """Return the keys that `farm.toml` may have: the options of all models."""
    from farm.settings import options, page_options

    models = [
        one
        for one in (*vars(options).values(), *vars(page_options).values())
        if isinstance(one, type) and issubclass(one, BaseModel)
    ]
    return {name for model in models for name in model.model_fields}


def _check_file() -> None:
    """Refuse a key that no command knows: a typing error must not be silently without effect."""
    try:
        owner = CONFIG.stat().st_uid
        keys = tomllib.loads(CONFIG.read_text(encoding="utf-8")).keys()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{CONFIG} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{CONFIG} cannot be read: {error}.") from None
    if owner not in {os.geteuid(), 0}:
        # It could name a program to run, or a proxy for all that is sent.
        raise UsageError(
            f"{CONFIG} belongs to another user and is not trusted; make it yours, or go elsewhere."
        )
    unknown = sorted(keys - _known_keys())
    if unknown:
        meant = did_you_mean(unknown[0], _known_keys())
        raise UsageError(
            f"{CONFIG} has {unknown[0]!r}, which is no setting{meant}; `farm run --help` lists them."
        )


def set_by_file(kind: type[CommandSettings]) -> tuple[str, ...]:
    """Return the command's settings that `farm.toml` gives, in the order of their names."""
    try:
        keys = tomllib.loads(CONFIG.read_text(encoding="utf-8")).keys()
    except (OSError, ValueError):
        return ()
    return tuple(sorted(keys & kind.model_fields.keys()))


def _check_browser() -> None:
    """Refuse a program that a file of the current folder names: a project from elsewhere may bring both."""
    if PREFIX + "BROWSER" in os.environ or not CONFIG.exists():
        return
    named = tomllib.loads(CONFIG.read_text(encoding="utf-8")).get("browser")
    if named is not None:
        raise UsageError(
            f"{CONFIG} names a program to run, {named}; if you trust it, give --browser {named}."
        )


def parser_for(kind: type[CommandSettings], prog: str, about: str) -> _Parser:
    """Make the command's parser, its options in one group for each model of settings."""
    named = [field.json_schema_extra for field in kind.model_fields.values()]
    operands = [
        f" [{one['metavar']} ...]" for one in named if isinstance(one, dict) and one.get("positional")
    ]
    parser = _Parser(
        prog=prog,
        usage=f"{prog} [options]{''.join(operands)}",
        description=about,
        allow_abbrev=False,
        argument_default=None,
    )
    for model in reversed([base for base in kind.__mro__ if base.__name__.endswith("Settings")]):
        own = [name for name in model.__annotations__ if name in kind.model_fields and name not in TABLES]
        if own:
            title = (model.__doc__ or model.__name__).splitlines()[0].rstrip(".").lower()
            group = parser.add_argument_group(title)
            for name in own:
                _add(group, name, kind.model_fields[name])
    return parser


def _add(group: Any, name: str, field: FieldInfo) -> None:
    extra = _extra(field)
    plain = _without_none(field.annotation)
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
    flags = ["--" + _flag(name, field).replace("_", "-")]
    if "alone" in extra:
        # It was a flag of yes or no once, and still is where no value follows.
        keywords |= {"nargs": "?", "const": extra["alone"]}
        no = {"action": "store_const", "const": extra["alone_no"], "help": argparse.SUPPRESS}
        group.add_argument(flags[0].replace("--", "--no-", 1), dest=name, **no)
    if extra.get("short"):
        flags.insert(0, f"-{extra['short']}")
    group.add_argument(*flags, **keywords)


def _extra(field: FieldInfo) -> dict[str, Any]:
    """Return what an option declares beyond its type."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _without_none(annotation: Any) -> Any:
    """Return the type of an optional field."""
    if get_origin(annotation) is types.UnionType:
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _sentence(kind: type[CommandSettings], error: ValidationError) -> str:
    """Say the first thing that is wrong, with the option and what was given."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "the settings"
    field = kind.model_fields.get(name)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if name in TABLES:
        return blamed(first, message)
    if first["type"] == "string_pattern_mismatch":
        message = "is not one of the forms it can have"
        if field is not None and field.description:
            message += f" ({_forms(field)})"
    elif first["type"].startswith(("int_", "greater_than", "less_than")) and _is_count(field):
        message = f"write a whole number{_bounds(field)}"
    elif first["type"].startswith("bool_"):
        message = "write true or false"
    elif first["type"] == "tuple_type":
        message = 'write a list of texts, such as ["one", "two"]'
    flag = _flag(name, field) if field is not None else name
    # What is no text was given by the file, and may hold a secret that has no type of its own yet.
    is_secret = name == "header" or (name == "sink" and "@" in str(first["input"]))
    shown = "" if is_secret else f" {str(first['input']) or repr('')}"
    return f"--{flag.replace('_', '-')}{shown}: {message}."


def _forms(field: FieldInfo) -> str:
    """Return what an option of a pattern may be: its own words for it, else its help."""
    extra = _extra(field)
    return str(extra.get("forms", _DEFAULT.sub("", field.description or "")))


def _is_count(field: FieldInfo | None) -> bool:
    return field is not None and _without_none(field.annotation) is int


def _bounds(field: FieldInfo | None) -> str:
    """Return the bounds of a number as words: ` of at least 1`, ` from 1 to 1000`, or nothing."""
    found = {
        name: getattr(one, name)
        for one in (field.metadata if field else ())
        for name in ("ge", "le")
        if hasattr(one, name)
    }
    if "ge" in found and "le" in found:
        return f" from {found['ge']} to {found['le']}"
    return f" of at least {found['ge']}" if "ge" in found else ""


def _flag(name: str, field: FieldInfo) -> str:
    extra = _extra(field)
    return str(extra.get("flag", name))

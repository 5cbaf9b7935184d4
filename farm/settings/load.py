"""From flags, environment and `farm.toml` to settings: flag > environment > `farm.toml` > default.

The flags are made from the fields, so that an option has one declaration.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

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
from farm.settings.flags import DEFAULT_TEXT, TABLES, extra_of, flag_of, parser_for, without_none
from farm.settings.origin import CONFIG, PREFIX, check_environment, did_you_mean, flags_of
from farm.settings.sites import blamed

_NOTHING = (None, False, (), "off", SecretUrl("embedded"))
"""Values of options that have no effect."""
S = TypeVar("S", bound="CommandSettings")


class CommandSettings(BaseSettings):
    """Base of every command's settings."""

    # A default is what the field holds, such as seconds, and nothing that a user may write.
    model_config = SettingsConfigDict(
        env_prefix="FARM_", toml_file=CONFIG, extra="ignore", frozen=True, validate_default=False
    )

    goes_on: ClassVar[bool] = False
    """Whether a run that continues a crawl takes options from it that the user leaves out."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the one with the highest precedence first."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(
    kind: type[S], arguments: Sequence[str], prog: str, about: str, keywords: Mapping[str, Any] | None = None
) -> S:
    """Return the settings of a command from its arguments; raises UsageError with the remedy.

    `keywords` are those of a `Farm` in Python: a flag overrides them, and they override the environment.
    """
    given = vars(parser_for(kind, prog, about).parse(arguments))
    return _settings(kind, {**(keywords or {}), **_said(given)}, f"{prog} --help")


def load_keywords(kind: type[S], keywords: Mapping[str, Any]) -> S:
    """Return settings from the keywords of a call in Python; raises UsageError with the remedy."""
    unknown = next((name for name in keywords if name not in kind.model_fields), None)
    if unknown is not None:
        raise UsageError(f"{unknown!r} is not an option{did_you_mean(unknown, kind.model_fields)}.")
    return _settings(kind, _said(keywords), "farm run --help")


def as_unsaid(settings: S, values: Mapping[str, Any]) -> S:
    """Return settings with these values, as if nobody had given them: no other option is missing for them."""
    kind = type(settings)
    known = settings.model_fields_set - values.keys()
    whole = {name: getattr(settings, name) for name in kind.model_fields} | dict(values)
    return cast("S", kind.model_construct(_fields_set={*known}, **whole))


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

    Settings from the environment or `farm.toml` are for many commands, and are not checked.
    """
    fields = type(settings).model_fields
    for name in flags:
        extra = extra_of(fields[name])
        needed = str(extra.get("needs", ""))
        if needed and _is_missing(settings, needed) and getattr(settings, name) not in _NOTHING:
            form = extra_of(fields[needed]).get("metavar", "")
            flag, needed = (flag_of(one, fields[one]).replace("_", "-") for one in (name, needed))
            raise UsageError(
                f"--{flag} has no effect without --{needed}; give --{needed}"
                f"{' ' * bool(form)}{form} too, or leave it out."
            )


def _is_missing(settings: CommandSettings, name: str) -> bool:
    """Whether an option is without effect; an optional number has an effect as 0, such as a port."""
    value = getattr(settings, name)
    says_zero = type(value) is int and type(settings).model_fields[name].default is None
    return value in _NOTHING and not says_zero


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
    """Raise UsageError for a key that no command knows: a typing error must not be silently ignored."""
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
            f"{CONFIG} belongs to another user and is not trusted; make it yours, or change to another folder."
        )
    unknown = sorted(keys - _known_keys())
    if unknown:
        meant = did_you_mean(unknown[0], _known_keys())
        raise UsageError(
            f"{CONFIG} has {unknown[0]!r}, which is not a setting{meant}; `farm run --help` lists them."
        )


def set_by_file(kind: type[CommandSettings]) -> tuple[str, ...]:
    """Return the command's settings that `farm.toml` gives, in the order of their names."""
    try:
        keys = tomllib.loads(CONFIG.read_text(encoding="utf-8")).keys()
    except (OSError, ValueError):
        return ()
    return tuple(sorted(keys & kind.model_fields.keys()))


def _check_browser() -> None:
    """Raise UsageError for a program that a file in the current folder names: it may come from a stranger."""
    if PREFIX + "BROWSER" in os.environ or not CONFIG.exists():
        return
    named = tomllib.loads(CONFIG.read_text(encoding="utf-8")).get("browser")
    if named is not None:
        raise UsageError(
            f"{CONFIG} names a program to run, {named}; if you trust it, give --browser {named}."
        )


def _sentence(kind: type[CommandSettings], error: ValidationError) -> str:
    """Return a sentence about the first error, with the option and its value."""
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
    elif first["type"] == "path_type":
        message = "write the path of a file"
    elif first["type"] == "tuple_type":
        message = 'write a list of texts, such as ["one", "two"]'
    flag = flag_of(name, field) if field is not None else name
    # What is no text was given by the file, and may hold a secret that has no type of its own yet.
    is_secret = name == "header" or (name == "sink" and "@" in str(first["input"]))
    shown = "" if is_secret else f" {str(first['input']) or repr('')}"
    return f"--{flag.replace('_', '-')}{shown}: {message}."


def _forms(field: FieldInfo) -> str:
    """Describe the values of an option with a pattern: by its `forms`, else by its help."""
    extra = extra_of(field)
    return str(extra.get("forms", DEFAULT_TEXT.sub("", field.description or "")))


def _is_count(field: FieldInfo | None) -> bool:
    return field is not None and without_none(field.annotation) is int


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

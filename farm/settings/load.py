"""From flags, environment and `farm.toml` to settings: flag > environment > `farm.toml` > default.

The flags are made from the fields, so that an option has one declaration.
"""

import argparse
import tomllib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from farm.model.errors import UsageError

CONFIG = Path("farm.toml")
S = TypeVar("S", bound="CommandSettings")


class CommandSettings(BaseSettings):
    """Base of every command's settings."""

    model_config = SettingsConfigDict(env_prefix="FARM_", toml_file=CONFIG, extra="ignore", frozen=True)

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
        raise UsageError(f"{message}; see `{self.prog} --help`.")


def load(kind: type[S], arguments: Sequence[str], prog: str, about: str) -> S:
    """Return the settings of a command from its arguments; raises UsageError with the remedy."""
    _check_file()
    parser = parser_for(kind, prog, about)
    given = vars(parser.parse_args(list(arguments)))
    try:
        return kind(**{name: value for name, value in given.items() if value is not None and value != []})
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None
    except SettingsError as error:
        raise UsageError(f"{error}; see `{prog} --help`.") from None


def _check_file() -> None:
    """Refuse a key that no command knows: a typing error must not be silently without effect."""
    from farm.settings.options import known_keys

    try:
        keys = tomllib.loads(CONFIG.read_text(encoding="utf-8")).keys()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{CONFIG} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{CONFIG} cannot be read: {error}.") from None
    unknown = sorted(keys - known_keys())
    if unknown:
        raise UsageError(f"{CONFIG} has {unknown[0]!r}, which is no setting; `farm run --help` lists them.")


def parser_for(kind: type[CommandSettings], prog: str, about: str) -> argparse.ArgumentParser:
    """Make the command's parser, its options in one group for each room."""
    parser = _Parser(prog=prog, description=about, allow_abbrev=False, argument_default=None)
    for room in reversed([base for base in kind.__mro__ if base.__name__.endswith("Settings")]):
        own = [name for name in room.__annotations__ if name in kind.model_fields]
        if own:
            title = (room.__doc__ or room.__name__).splitlines()[0].rstrip(".").lower()
            group = parser.add_argument_group(title)
            for name in own:
                _add(group, name, kind.model_fields[name])
    return parser


def _add(group: Any, name: str, field: FieldInfo) -> None:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    plain = _without_none(field.annotation)
    keywords: dict[str, Any] = {"help": field.description, "dest": name}
    if extra.get("positional"):
        group.add_argument(name, nargs="*", metavar=extra["metavar"], help=field.description)
        return
    if plain is bool:
        keywords["action"] = argparse.BooleanOptionalAction
    elif get_origin(plain) is Literal:
        keywords["choices"] = get_args(plain)
    else:
        keywords["metavar"] = extra.get("metavar", name.upper())
        if get_origin(plain) is tuple and name not in {"viewport", "block"}:
            keywords["action"] = "append"
    group.add_argument("--" + str(extra.get("flag", name)).replace("_", "-"), **keywords)


def _without_none(annotation: Any) -> Any:
    """Return the type of an optional field."""
    if get_origin(annotation) is types.UnionType:
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _sentence(error: ValidationError) -> str:
    """Say the first thing that is wrong, with the option and what was given."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "the settings"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if first["type"] == "string_pattern_mismatch":
        message = "is not one of the forms it can have"
    return f"--{name.replace('_', '-')} {first['input']!s}: {message}."

"""The arguments of each command, from the declarations of the options: for shell completion and the man page."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.settings import commands
from farm.settings.flags import DEFAULT_TEXT, parser_for
from farm.settings.load import CommandSettings

SETTINGS: Mapping[str, type[CommandSettings]] = {
    "init": commands.InitSettings,
    "run": commands.RunSettings,
    "fetch": commands.FetchSettings,
    "shell": commands.ShellSettings,
    "login": commands.LoginSettings,
    "extract": commands.ExtractSettings,
    "export": commands.ExportSettings,
    "add": commands.AddSettings,
    "list": commands.ListSettings,
    "delete": commands.DeleteSettings,
    "status": commands.StatusSettings,
    "top": commands.TopSettings,
    "pause": commands.SteerSettings,
    "resume": commands.SteerSettings,
    "drain": commands.SteerSettings,
    "stop": commands.SteerSettings,
    "dead": commands.DeadSettings,
    "render-report": commands.RenderReportSettings,
    "plan": commands.PlanSettings,
    "doctor": commands.DoctorSettings,
}
"""The settings by command; a command that is missing has no options."""
WORDS: Mapping[str, Sequence[str]] = {
    "dead": ("list", "show", "replay", "drop"),
    "completion": ("bash", "zsh", "fish"),
}
"""The values of a command's first argument."""


@dataclass(frozen=True, slots=True)
class OptionText:
    """One option: its flags, its help, its default in words, and the form of its value.

    `metavar` is empty if it takes no value; `choices` are the values, if these are few.
    """

    flags: tuple[str, ...]
    text: str
    default: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """The options of one subject, as in the help."""

    title: str
    options: tuple[OptionText, ...]


def groups_of(command: str) -> tuple[OptionGroup, ...]:
    """Return the options of a command by subject, the common ones first."""
    kind = SETTINGS.get(command)
    if kind is None:
        return ()
    parser = parser_for(kind, f"farm {command}", "")
    found = []
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no other way to ask for them
        options = tuple(_option(one) for one in group._group_actions if one.help != argparse.SUPPRESS)  # noqa: SLF001
        named = tuple(one for one in options if one.flags)
        if named:
            found.append(OptionGroup(group.title or "", named))
    return tuple(found)


def options_of(command: str) -> tuple[OptionText, ...]:
    """Return all options of a command."""
    return tuple(option for group in groups_of(command) for option in group.options)


def operand_of(command: str) -> str:
    """Return a command's arguments besides options, such as `URL` or `FILE [URL]`; empty if it takes none."""
    kind = SETTINGS.get(command)
    if kind is None:
        return ""
    actions = parser_for(kind, f"farm {command}", "")._actions  # noqa: SLF001
    return next((str(one.metavar) for one in actions if not one.option_strings), "")


def _option(action: argparse.Action) -> OptionText:
    text = (action.help or "").replace("%%", "%")
    default = DEFAULT_TEXT.search(text)
    takes_none = action.nargs == 0
    choices = tuple(map(str, action.choices)) if action.choices else ()
    return OptionText(
        tuple(action.option_strings),
        DEFAULT_TEXT.sub("", text),
        default[0].strip(" []") if default else "",
        "" if takes_none else (str(action.metavar or "") or "|".join(choices)),
        choices,
    )

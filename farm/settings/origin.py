"""The origin of a setting (a flag, an environment variable, a line of `farm.toml`), and hints for misspelt ones.

A suggested command repeats settings from flags; those from the environment and `farm.toml` apply to it anyway.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from farm.model.errors import UsageError
from farm.model.secret import SecretUrl

PREFIX = "FARM_"
CONFIG = Path("farm.toml")
_CRAWL_FLAGS = ("--redis", "--redis-ca-file", "--crawl", "--output")
_OFFERED = re.compile(r"`(farm (?:run|resume|dead [a-z]+)\b[^`]*)`")
_LIKE = 0.66
_LONGEST = 64
_FLAG = re.compile(r"--(?:no-)?([a-z][a-z-]*)")


def located(sentence: str, arguments: Sequence[str]) -> str:
    """Return a sentence about an option (`--rate …`), preceded by the origin of its value.

    `FARM_RATE: --rate …`, or `farm.toml, line 3: --rate …`; unchanged if the value is on the command line.
    """
    found = _FLAG.match(sentence)
    if found is None:
        return sentence
    given = {one.partition("=")[0] for one in arguments}
    if {f"--{found[1]}", f"--no-{found[1]}"} & given:
        return sentence
    name = found[1].replace("-", "_")
    if PREFIX + name.upper() in os.environ:
        return f"{PREFIX}{name.upper()}: {sentence}"
    line = _line_of(name)
    return f"{CONFIG}, line {line}: {sentence}" if line else sentence


def crawl_flags(arguments: Sequence[str]) -> str:
    """Return the flags among the arguments that name a crawl, ready for a shell; a password is masked."""
    found: dict[str, str] = {}
    for at, one in enumerate(arguments):
        if one == "--":
            break
        name, mark, value = one.partition("=")
        if one.startswith("-o") and len(one) > len("-o"):
            name, mark, value = "-o", "=", one.removeprefix("-o")
        name = "--output" if name == "-o" else name
        if name in _CRAWL_FLAGS:
            found[name] = value if mark else next(iter(arguments[at + 1 : at + 2]), "")
    if "--redis" in found:
        found["--redis"] = str(SecretUrl(found["--redis"]))
    return shlex.join(part for name in _CRAWL_FLAGS if name in found for part in (name, found[name]))


def with_flags(sentence: str, flags: str) -> str:
    """Return a sentence whose remedy, after its first semicolon, has commands that name the crawl."""
    what, mark, remedy = sentence.partition(";")

    def named(offered: re.Match[str]) -> str:
        is_whole = any(flag in offered[1] for flag in (*_CRAWL_FLAGS, "--help"))
        return offered[0] if is_whole else f"`{offered[1]} {flags}`"

    return what + mark + _OFFERED.sub(named, remedy) if flags else sentence


def holds_without_flag(name: str, value: str) -> bool:
    """Whether the environment or else `farm.toml` sets this value: it applies to the next command anyway."""
    given = os.environ.get(PREFIX + name.upper())
    if given is None:
        try:
            given = tomllib.loads(CONFIG.read_text(encoding="utf-8")).get(name)
        except (OSError, ValueError):
            return False
    return given == value


def flags_of(names: Collection[str]) -> list[str]:
    """Return the given settings that come neither from the environment nor from `farm.toml`, in order."""
    return sorted(one for one in names if PREFIX + one.upper() not in os.environ and not _line_of(one))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar known name; None if there is none."""
    # Names of impossible length are not compared: the cost grows with the square of the length.
    found = get_close_matches(name, list(known), n=1, cutoff=_LIKE) if len(name) <= _LONGEST else []
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """Return ` (did you mean X?)`, or nothing; `before` is put before the name that is suggested."""
    found = nearest(name, known)
    return f" (did you mean {before}{found}?)" if found else ""


def check_environment(known: Collection[str]) -> None:
    """Raise UsageError for a variable that resembles a setting: a typing error must not be silently ignored."""
    names = {PREFIX + name.upper() for name in known}
    for given in sorted(os.environ):
        if given.startswith(PREFIX) and given not in names:
            meant = nearest(given.removeprefix(PREFIX).lower(), known)
            if meant is not None:
                raise UsageError(
                    f"{given} is not a setting (did you mean {PREFIX}{meant.upper()}?); rename it, or unset it."
                )


def _line_of(name: str) -> int:
    try:
        text = CONFIG.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return 0
    key = re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if key.match(line)), 0)

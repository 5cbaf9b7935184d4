"""Where a setting stands: a flag, an environment variable or a line of `farm.toml`."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from farm.model.errors import UsageError
from farm.settings.nearest import nearest

PREFIX = "FARM_"
CONFIG = Path("farm.toml")
_FLAG = re.compile(r"--(?:no-)?([a-z][a-z-]*)")


def located(sentence: str, arguments: Sequence[str]) -> str:
    """Return a sentence that blames an option (`--rate …`) with where its value stands before it.

    `FARM_RATE: --rate …`, or `farm.toml, line 3: --rate …`; as it is where the value stands on the command line.
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


def check_environment(known: Collection[str]) -> None:
    """Raise UsageError for a variable that is nearly a setting: a typing error must not be without effect."""
    names = {PREFIX + name.upper() for name in known}
    for given in sorted(os.environ):
        if given.startswith(PREFIX) and given not in names:
            meant = nearest(given.removeprefix(PREFIX).lower(), known)
            if meant is not None:
                raise UsageError(
                    f"{given} is no setting (did you mean {PREFIX}{meant.upper()}?); rename it, or unset it."
                )


def _line_of(name: str) -> int:
    try:
        text = CONFIG.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return 0
    key = re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if key.match(line)), 0)

"""`farm dead`: the URLs that were given up, why, and the way back."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.build.visit import visited
from farm.frontier.dead import DeadLetter, DeadLetters
from farm.model.errors import UsageError
from farm.settings.commands import DeadSettings
from farm.settings.load import load

ACTIONS = ("list", "show", "replay", "drop")
ABOUT = "List the URLs that were given up; show one; replay or drop those named, those of a reason, or all."


def main(arguments: Sequence[str]) -> int:
    """Do what the first argument says."""
    action, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in ACTIONS else ("", arguments)
    settings = load(DeadSettings, rest, f"farm dead {action or '|'.join(ACTIONS)}", ABOUT)
    if not action:
        raise UsageError(f"`farm dead` takes one of {', '.join(ACTIONS)}.")
    if action == "show" and len(settings.ids) != 1:
        raise UsageError("`farm dead show` takes the id of one letter; `farm dead list` has them.")
    asyncio.run(_act(action, settings))
    return 0


async def _act(action: str, settings: DeadSettings) -> None:
    async with visited(settings) as (_, frontier):
        dead = DeadLetters(frontier)
        if action == "list":
            _print(await dead.page(settings.reason, start=settings.start, size=settings.size), settings)
        elif action == "show":
            letter = await dead.show(settings.ids[0])
            if settings.as_json:
                _print([letter], settings)
            else:
                _show(letter)
        elif action == "replay":
            moved = await (dead.replay_ids(settings.ids) if settings.ids else dead.replay(settings.reason))
            print(f"{moved:,} replayed")
        else:
            moved = await (dead.drop_ids(settings.ids) if settings.ids else dead.drop(settings.reason))
            print(f"{moved:,} dropped")


def _print(letters: Sequence[DeadLetter], settings: DeadSettings) -> None:
    if settings.as_json:
        for letter in letters:
            print(json.dumps(_plain(letter)))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "reason", "attempts", "url"):
        table.add_column(name, no_wrap=name != "url", overflow="fold")
    for letter in letters:
        # As texts: rich would take what stands between brackets for its own.
        table.add_row(*map(Text, (letter.id, letter.reason, str(letter.attempts), _url(letter))))
    Console().print(table if letters else "no dead letters", highlight=False)


def _show(letter: DeadLetter) -> None:
    lines = {
        "id": letter.id,
        "url": _url(letter),
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "given up": letter.at and f"{letter.at:%Y-%m-%d %H:%M:%S} UTC",
        "referrer": letter.task.referrer if letter.task is not None else None,
        "depth": letter.task.depth if letter.task is not None else None,
    }
    for name, value in lines.items():
        if value not in {None, ""}:
            print(f"{name:<9} {value}")


def _url(letter: DeadLetter) -> str:
    return letter.task.url if letter.task is not None else "(what was stored cannot be read)"


def _plain(letter: DeadLetter) -> dict[str, Any]:
    fields = asdict(letter)
    fields["at"] = letter.at and letter.at.isoformat()
    return fields

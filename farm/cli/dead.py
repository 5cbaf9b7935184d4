"""`farm dead`: list, show, replay and drop the URLs that were given up."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress

from rich.table import Table
from rich.text import Text

from farm.app.access import crawl_folder, open_existing_crawl
from farm.app.operations import plain_letter, plain_visit
from farm.cli.signals import run_interruptible
from farm.cli.streams import tell
from farm.frontier.dead import ALL, DeadFilter, DeadLetter, DeadLetters
from farm.frontier.history import PastVisit
from farm.model.errors import UsageError
from farm.monitor.figures import escaped
from farm.monitor.terminal import table_console
from farm.settings.commands import DeadSettings
from farm.settings.load import load
from farm.settings.origin import did_you_mean

ABOUT = (
    "List the URLs that were given up; show one; replay or drop those named, those of a reason, a site or a "
    "pattern, or all."
)
CHOOSING = ("reason", "one_site", "pattern")
FITTING = {
    "list": {*CHOOSING, "start", "size"},
    "show": {"ids"},
    "replay": {*CHOOSING, "ids"},
    "drop": {*CHOOSING, "ids", "yes"},
}
"""Action -> the options that it takes."""
_DETAIL_CHARS = 60
"""Characters of a detail in a terminal, whose rows are narrow; a pipe has all of it."""


def main(arguments: Sequence[str]) -> int:
    """Carry out the action that the first argument names."""
    action, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in FITTING else ("", arguments)
    settings = load(DeadSettings, rest, f"farm dead {action or '|'.join(FITTING)}", ABOUT)
    if not action:
        meant = did_you_mean(arguments[0], FITTING) if arguments else ""
        raise UsageError(f"`farm dead` takes one of {', '.join(FITTING)}{meant}.")
    if settings.id:
        given = {"ids": (*settings.ids, *settings.id)}
        settings = settings.model_copy(update=given)
        settings.model_fields_set.add("ids")
    _check(action, settings)
    run_interruptible(_act(action, settings))
    return 0


def _check(action: str, settings: DeadSettings) -> None:
    """Raise UsageError for options without effect: they are mistakes."""
    given = settings.model_fields_set & {*CHOOSING, "start", "size", "ids", "yes"}
    if unfit := sorted(given - FITTING[action]):
        name = "an id" if unfit[0] == "ids" else _flag(unfit[0])
        raise UsageError(f"{name} does not go with `farm dead {action}`; see `farm dead {action} --help`.")
    if action == "show" and len(settings.ids) != 1:
        raise UsageError("`farm dead show` takes the id of one letter; `farm dead list` has them.")
    if "ids" in given and (chosen := [name for name in CHOOSING if name in given]):
        raise UsageError(f"`farm dead {action}` takes ids or {_flag(chosen[0])}, not both; leave one out.")


def _flag(name: str) -> str:
    """Return the flag of a setting."""
    return f"--{name.removeprefix('one_')}"


async def _act(action: str, settings: DeadSettings) -> None:
    which = DeadFilter(settings.reason, settings.one_site, _pattern(settings.pattern))
    async with open_existing_crawl(settings, goes_on=action == "replay") as (_, frontier):
        dead = frontier.dead
        if action == "list":
            await _list(dead, which, settings)
        elif action == "show":
            letter = await dead.show(settings.ids[0])
            history = await dead.history(settings.ids[0])
            if settings.as_json:
                print(
                    json.dumps({**plain_letter(letter), "history": [plain_visit(past) for past in history]})
                )
            else:
                _show(letter)
                _show_history(history)
                _show_snapshot(history, settings)
        elif action == "replay":
            moved = await (dead.replay_ids(settings.ids) if settings.ids else dead.replay(which))
            left = None if settings.ids else await dead.count(which)
            _tell(settings, "replayed", moved, left)
            if (others := len(set(settings.ids)) - moved) > 0:
                tell(f"{others:,} of these ids {'is' if others == 1 else 'are'} not dead, or not any more.")
        else:
            if not settings.ids and which == ALL and not settings.yes:
                await _confirm(await dead.count())
            moved = await (dead.drop_ids(settings.ids) if settings.ids else dead.drop(which))
            _tell(settings, "dropped", moved)


async def _confirm(total: int) -> None:
    """Ask before all letters are dropped; raises UsageError if nobody can be asked, or the answer is no."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"`farm dead drop` would drop all {total:,} letters permanently; give --yes, ids, --reason, --site or "
            "--pattern."
        )
    answer = await asyncio.to_thread(input, f"Drop all {total:,} dead letters permanently? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("Nothing was dropped; give ids, --reason, --site or --pattern to drop some.")


def _tell(settings: DeadSettings, done: str, moved: int, left: int | None = None) -> None:
    """Print how many letters were moved, and how many of the selected ones could not be."""
    if settings.as_json:
        print(json.dumps({done: moved} if left is None else {done: moved, "still_dead": left}))
    elif left:
        print(f"{moved:,} {done}, {left:,} still dead: what cannot be read can only be dropped")
    else:
        print(f"{moved:,} {done}")


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Return the given pattern; raises UsageError for an invalid one."""
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(f"--pattern {text!r} is not a regular expression ({error}).") from None


async def _list(dead: DeadLetters, which: DeadFilter, settings: DeadSettings) -> None:
    letters, total = await dead.counted_page(which, start=settings.start, size=settings.size)
    if settings.as_json:
        for letter in letters:
            print(json.dumps(plain_letter(letter)))
    elif letters:
        _print(letters)
    end = settings.start + len(letters)
    if total == 0:
        said = "no dead letters"
    elif not letters:
        said = f"no dead letters beyond {settings.start:,}; there are {total:,}"
    elif end < total:
        said = f"{settings.start + 1:,} to {end:,} of {total:,}; --start {end} lists the next ones"
    else:
        said = f"{settings.start + 1:,} to {end:,} of {total:,}"
    if not settings.as_json:
        print(said)
    elif end < total:
        # Beside the letters, whose lines are for a program.
        tell(said)


def _print(letters: Sequence[DeadLetter]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "reason", "attempts", "url", "detail"):
        table.add_column(name, no_wrap=name not in {"url", "detail"}, overflow="fold")
    console = table_console()
    for letter in letters:
        detail = letter.detail[:_DETAIL_CHARS] if console.is_terminal else letter.detail
        # As texts: rich would take what stands between brackets for its own.
        cells = (letter.id, letter.reason, str(letter.attempts), _url(letter), detail)
        table.add_row(*(Text(escaped(cell)) for cell in cells))
    console.print(table, highlight=False)


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
            print(f"{name:<9} {escaped(str(value))}")


def _show_history(history: Sequence[PastVisit]) -> None:
    """Print the failed visits, each with its node, phase, duration and reason."""
    if not history:
        return
    print("visits")
    for past in history:
        visit = past.visit
        at = f"{past.at:%Y-%m-%d %H:%M:%S}" if past.at is not None else "?"
        where = [f"node {visit.node}", f"context {visit.context}", f"proxy {visit.proxy}"]
        told = [one for one in where if not one.endswith((" ", " None"))]
        told += [f"in {visit.phase}"] if visit.phase else []
        told += [f"status {visit.status}"] if visit.status else []
        took = ", ".join(f"{name} {took_ms:,} ms" for name, took_ms in visit.timings_ms.items() if took_ms)
        why = f"{visit.reason}: {visit.detail}" if visit.detail else visit.reason
        print(escaped(f"  {at}  {why}"))
        print(escaped(f"      {', '.join(told)}{f' ({took})' if took else ''}"))


def _show_snapshot(history: Sequence[PastVisit], settings: DeadSettings) -> None:
    """Print the paths of the last visit's snapshot in its node's output folder, perhaps on another machine."""
    last = history[-1].visit if history else None
    if last is None or not last.snapshot:
        return
    with suppress(UsageError):
        folder = crawl_folder(settings)
        if all((folder / path).is_file() for path in last.snapshot):
            for path in last.snapshot:
                print(f"snapshot  {escaped(str(folder / path))}")
            return
    named = " and ".join(last.snapshot)
    print(
        escaped(
            f"snapshot  {named} in the output folder of node {last.node}, unless newer ones took its place"
        )
    )


def _url(letter: DeadLetter) -> str:
    return letter.task.url if letter.task is not None else "(what was stored cannot be read)"

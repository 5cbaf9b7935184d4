"""`farm delete`: delete a crawl; its records are kept unless `--records` is given."""

import asyncio
import json
import sys
from collections.abc import Sequence

from farm.app.deletion import deletable, delete
from farm.cli.signals import run_interruptible
from farm.cli.streams import tell
from farm.model.errors import UsageError
from farm.monitor.figures import escaped
from farm.settings.commands import DeleteSettings
from farm.settings.load import load

ABOUT = (
    "Delete a crawl for good: all that Redis knows of it, and with --records what its runs have written to the "
    "output folder. A crawl that is worked on is refused."
)
_NAMED = 5


def main(arguments: Sequence[str]) -> int:
    """Ask for confirmation, and delete."""
    settings = load(DeleteSettings, arguments, "farm delete", ABOUT)
    run_interruptible(_delete(settings))
    return 0


async def _delete(settings: DeleteSettings) -> None:
    async with deletable(settings) as target:
        if not settings.yes:
            await _confirm(target.what)
        keys, stays = await delete(target)
    if settings.as_json:
        print(json.dumps({"deleted": target.what, "keys": keys, "stays": stays}))
        return
    print(escaped(f"deleted {target.what}"))
    if stays:
        more = f" and {len(stays) - _NAMED:,} more" if len(stays) > _NAMED else ""
        tell(
            f"{', '.join(stays[:_NAMED])}{more} stay: no run of {target.folder} has written them, or not into it."
        )


async def _confirm(what: str) -> None:
    """Ask before anything is deleted; raises UsageError if nobody can be asked, or the answer is no."""
    if not sys.stdin.isatty():
        raise UsageError(f"`farm delete` would delete {what} permanently; give --yes.")
    answer = await asyncio.to_thread(input, escaped(f"Delete {what} permanently? [y/N] "))
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("Nothing was deleted; answer yes, or give --yes, to delete it.")

"""The details of a dead letter: the command that tries it again works when it is pasted."""

import shlex
import subprocess
from dataclasses import replace

import pytest

from farm.monitor.browse import Browsing, ViewPage
from farm.monitor.screen import frame
from farm.monitor.tables import DeadRow
from farm.monitor.tally import Tally

LETTER = DeadRow("0123456789abcdef0123456789abcdef", "timeout", "12:00:00", 3, "http://a.example/", "slow")


def command(letter: DeadRow, width: int) -> list[str]:
    """Return the words of the command as a shell reads the lines of the view."""
    place = Browsing(ViewPage.DEAD, is_open=True)
    lines = [line.plain for line in frame(Tally(0.0).snapshot(1.0), width, 40, "shop", place, (letter,))]
    first = next(at for at, line in enumerate(lines) if "farm dead replay" in line)
    shown = [lines[first].rstrip()]
    while shown[-1].endswith(" \\"):
        shown.append(lines[first + len(shown)].rstrip())
    pasted = "printf '%s\\n' " + "\n".join(shown).strip()
    return subprocess.check_output(["sh", "-c", pasted], text=True, timeout=60).splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize(
    "flags",
    [
        ["--output", "crawls/shop.example"],
        ["--redis", "redis://queue.example:6379/3", "--crawl", "shop", "--output", "crawls/shop"],
        [
            "--redis",
            "rediss://queue.example:6379/3",
            "--redis-ca-file",
            "/etc/my authority.pem",
            "--crawl",
            "x",
        ],
        [],
    ],
)
def test_the_command_names_the_crawl(width: int, flags: list[str]) -> None:
    """By all flags, over several lines where it has to be."""
    letter = replace(LETTER, where=shlex.join(flags))
    assert command(letter, width) == ["farm", "dead", "replay", LETTER.id, *flags]

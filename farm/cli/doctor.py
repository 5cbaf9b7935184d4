"""`farm doctor`: check whether this machine can run the farm, and name remedies."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from farm.app.doctor import Check, examine
from farm.cli.signals import run_interruptible
from farm.monitor.figures import escaped_lines
from farm.settings.commands import DoctorSettings
from farm.settings.load import load
from farm.settings.origin import crawl_flags, with_flags

MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "error": ("FAIL", "red bold")}


def main(arguments: Sequence[str]) -> int:
    """Print the findings; the first error's code is the exit code."""
    settings = load(DoctorSettings, arguments, "farm doctor", "Check whether this machine is fit for a farm.")
    return run_interruptible(_examine(settings, crawl_flags(arguments)))


async def _examine(settings: DoctorSettings, flags: str) -> int:
    console = Console()
    failed: list[Check] = []
    async for finding in examine(settings):
        mark, style = MARKS[finding.verdict]
        line = Text.assemble((f"{mark:>4}  ", style), (f"{finding.subject:<8} ", "bold"))
        line.append(escaped_lines(with_flags(finding.text, flags)))
        console.print(line, soft_wrap=True)
        if finding.verdict == "error":
            failed.append(finding)
    return failed[0].exit_code if failed else 0

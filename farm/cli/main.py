"""`farm COMMAND`: finds the command, and turns every error that a user can cause into one sentence.

What takes long to import is imported once signals are handled: Ctrl-C may come at any moment.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from farm import __version__
from farm.cli.interruption import ending_on_signals, received

COMMANDS = {
    "init": "write a small project: handlers, options, tests, a Dockerfile",
    "run": "crawl; joins the crawl when it exists already",
    "fetch": "print one page: its text, Markdown, HTML or record",
    "login": "log in to a site by steps or by hand, and save cookies and local storage",
    "shell": "a Python prompt with a rendered page",
    "extract": "try a declaration of items on one page, or run it over stored pages",
    "export": "write stored records, merged to one row an id, to files of another format",
    "add": "add seeds to a crawl",
    "list": "the crawls in the folders below, or in a Redis",
    "delete": "delete a crawl; its records are kept unless --records is given",
    "status": "the numbers of a crawl, from anywhere",
    "top": "the live view of a crawl and all its nodes, from anywhere",
    "pause": "take no new pages, on all nodes, until `farm resume`",
    "resume": "continue after `farm pause`, `drain` or `stop`",
    "drain": "finish the pages under way on all nodes and end them, until `farm resume`",
    "stop": "the same as drain; what is queued stays queued",
    "dead": "list, show, replay or drop the URLs that were given up",
    "render-report": "what --render auto has learnt: templates, their renderers, differences",
    "plan": "how many contexts and nodes, how long, and the smallest limit",
    "doctor": "check whether this machine can run the farm, and name remedies",
    "completion": "a script that completes commands and flags in bash, zsh or fish",
    "man": "the man page",
    "version": "print the version",
}
EXAMPLES = {
    "farm run https://shop.example/": "records in crawls/shop.example/pages.jsonl",
    "farm run --output crawls/shop.example": "continue a crawl",
    "farm fetch --json https://shop.example/": "one page, on standard output",
    "farm status --output crawls/shop.example": "its numbers",
    "farm dead list --output crawls/shop.example": "what was given up, and why",
}
EXIT_CODES = {
    0: "finished",
    1: "an unexpected error; one line says which file has its report",
    2: "usage or configuration",
    3: "Redis is unavailable",
    4: "no usable browser",
    5: "a limit left work, or the crawl is stopped",
    6: "the output, or the private Redis in it, cannot be written",
    7: "every proxy is down",
    8: "finished, but not one page was recorded",
    129: "drained after SIGHUP; 130 after SIGINT, 143 after SIGTERM",
}
STEERING = {"pause", "resume", "drain", "stop"}
"""The commands that set the state of a crawl."""
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        with ending_on_signals():
            return run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        # After the event loop, whose handlers end with it.
        from farm.cli.streams import tell

        tell("interrupted.")
        return INTERRUPTED


def run(arguments: list[str]) -> int:
    """Run a command; return its exit code, that of an error included, which is told."""
    from farm.cli.streams import open_standard_streams, tell
    from farm.model.errors import FarmError
    from farm.resources.files import OTHERS
    from farm.settings.origin import crawl_flags, located, with_flags

    open_standard_streams()
    # What a command writes may hold what was behind a login; `farm run` has --file-mode.
    os.umask(os.umask(OTHERS) | OTHERS)
    try:
        return dispatch(arguments)
    except BrokenPipeError:
        # The reader of the output has closed it (`farm status | head`): no message would be seen.
        sys.stderr.close()
        return 0
    except Exception as error:
        # Whatever a command lets through: an exit code and a sentence are for users, a traceback is not.
        if received() is not None:
            # What was under way when the signal came has made an error of its own of it.
            raise
        from farm.cli.failure_report import is_debugged, of_the_machine, report

        known = error if isinstance(error, FarmError) else of_the_machine(error)
        if known is not None:
            tell(located(with_flags(str(known), crawl_flags(arguments)), arguments))
            return known.exit_code
        if is_debugged():
            raise
        return report(error, arguments)


def dispatch(arguments: list[str]) -> int:
    """Call the command that the first argument names; raises UsageError for an unknown one."""
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    name = "version" if arguments[0] in {"-V", "--version"} else arguments[0]
    if name not in COMMANDS:
        from farm.model.errors import UsageError

        raise UsageError(_no_command(name))
    if name == "version":
        return version(arguments[1:])
    command = _imported("steer" if name in STEERING else name.replace("-", "_"))
    return int(command.main(arguments if name in STEERING else arguments[1:]))


def _imported(name: str) -> Any:
    """Return the module of a command."""
    # Hardly anything of what is imported is garbage, and all of it would be looked through time and again: a tenth
    # of the processor's time until a run begins.
    gc.disable()
    try:
        return import_module(f"farm.cli.{name}")
    finally:
        gc.enable()


def version(arguments: Sequence[str]) -> int:
    """Print the version."""
    if arguments and arguments[0] in {"-h", "--help"}:
        print("usage: farm version\n\nPrint the version.")
        return 0
    if arguments:
        from farm.model.errors import UsageError

        raise UsageError(f"`farm version` takes no arguments ({arguments[0]!r} was given).")
    print(f"farm {__version__}")
    return 0


def _no_command(name: str) -> str:
    from farm.settings.origin import did_you_mean

    if "://" in name:
        return f"{name!r} is not a command; write `farm run {name}` to crawl it."
    if name in {"show", "replay", "drop"}:
        return f"{name!r} is not a command; write `farm dead {name}`."
    return f"{name!r} is not a command{did_you_mean(name, COMMANDS)}; `farm --help` lists them."


def usage() -> str:
    """Return the list of the commands."""
    width = max(map(len, COMMANDS))
    examples = "\n".join(f"  {example.ljust(43)}  {text}" for example, text in EXAMPLES.items())
    listing = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: farm COMMAND [options]\n\n"
        "A headless-browser crawl farm.\n\n"
        f"commands:\n{listing}\n\n"
        "`farm help COMMAND` explains a command and its options. Each option is also an environment variable\n"
        "(FARM_CONTEXTS=8) and a key of farm.toml in the current folder (contexts = 8); a flag wins.\n\n"
        f"examples:\n{examples}\n\n"
        "exit codes: 0 finished, 1 an unexpected error, 2 usage, 3 Redis, 4 browser, 5 a limit left work,\n"
        "6 output, 7 proxies, 8 nothing recorded, 129, 130 and 143 after a signal"
    )


if __name__ == "__main__":
    raise SystemExit(main())

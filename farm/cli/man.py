"""`farm man`: the man page, from the declarations of the options."""

from collections.abc import Iterator, Sequence

from farm import __version__
from farm.cli.main import COMMANDS, EXAMPLES, EXIT_CODES
from farm.model.errors import UsageError
from farm.settings.flags import operand_form
from farm.settings.reference import WORDS, OptionText, groups_of, operand_of

USAGE = """usage: farm man

Print the man page of farm.

  read it: farm man | man -l -
  keep it: mkdir -p ~/.local/share/man/man1; farm man > ~/.local/share/man/man1/farm.1"""


def main(arguments: Sequence[str]) -> int:
    """Print the page."""
    if arguments and arguments[0] in {"-h", "--help"}:
        print(USAGE)
        return 0
    if arguments:
        raise UsageError(f"`farm man` takes no arguments ({arguments[0]!r} was given).")
    print("\n".join(_page()))
    return 0


def _page() -> Iterator[str]:
    yield f'.TH FARM 1 "" "farm {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "farm \\- a headless\\-browser crawl farm"
    yield ".SH SYNOPSIS"
    yield ".B farm"
    yield ".I COMMAND"
    yield "[options]"
    yield ".SH DESCRIPTION"
    yield _text(
        "Crawls sites with many headless browsers at once, from one process to many machines over one Redis."
    )
    yield _text(
        "Each option is also an environment variable (FARM_CONTEXTS=8) and a key of farm.toml in the current "
        "folder (contexts = 8); a flag wins over the variable, that over the file."
    )
    yield ".SH COMMANDS"
    for name, about in COMMANDS.items():
        yield ".TP"
        yield f".B {_text(f'farm {name}')}"
        yield _text(about)
    for name in COMMANDS:
        yield from _command(name)
    yield ".SH FILES"
    yield ".TP"
    yield ".I farm.toml"
    yield _text("Options for every command that is given in its folder, and tables of single sites.")
    yield ".TP"
    yield ".I crawls/NAME"
    yield _text("The output folder of a crawl: pages.jsonl, skipped.jsonl, summary.json, farm.log.")
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_CODES.items():
        yield ".TP"
        yield f".B {code}"
        yield _text(meaning)
    yield ".SH EXAMPLES"
    for example, about in EXAMPLES.items():
        yield ".TP"
        yield f".B {_text(example)}"
        yield _text(about)


def _command(name: str) -> Iterator[str]:
    groups = groups_of(name)
    if not groups:
        return
    yield f".SH {_text(f'FARM {name.upper()}')}"
    operand, words = operand_of(name), "|".join(WORDS.get(name, ()))
    parts = [f"farm {name}", words, operand_form(operand) if operand else "", "[options]"]
    yield f".B {_text(' '.join(part for part in parts if part))}"
    for group in groups:
        yield f".SS {_text(group.title)}"
        for option in group.options:
            yield from _option(option)


def _option(option: OptionText) -> Iterator[str]:
    value = f" \\fI{_text(option.metavar)}\\fR" if option.metavar else ""
    yield ".TP"
    yield ", ".join(f"\\fB{_text(flag)}\\fR{value}" for flag in option.flags)
    default = f" [{option.default}]" if option.default else ""
    yield _text(f"{option.text}{default}")


def _text(text: str) -> str:
    """Return a text escaped for troff."""
    line = " ".join(text.replace("`", "").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line[:1] in {".", "'"} else line

"""Completion and man page know what the commands take, from one declaration."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from farm.cli.main import COMMANDS, EXIT_CODES, main
from farm.settings.flags import FIRST
from farm.settings.reference import SETTINGS, WORDS, groups_of, options_of


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with suppress(SystemExit):
        # By which argparse ends after it has printed a help.
        assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_described_by_what_its_help_has(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every flag, and no other; those that are negated by `--no-` share a line."""
    said = _printed(capsys, command, *(["list"] if command == "dead" else []), "--help")
    described = {flag for option in options_of(command) for flag in option.flags}
    headed = set(re.findall(r"^  (-.+?)(?:  |$)", said, re.MULTILINE))
    assert {flag for head in headed for flag in re.findall(r"--?[a-z][a-z-]*", head)} == described
    assert (described != set()) == (command in SETTINGS)


def test_a_run_has_ten_options_that_are_needed_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Before all others; a command of few options has them where they belong."""
    first = next(group for group in groups_of("run") if group.title == FIRST)
    assert len(first.options) == 10
    said = _printed(capsys, "run", "--help")
    headings = re.findall(r"^([^ \n][^\n]*):$", said, re.MULTILINE)
    assert headings[:2] == ["options", FIRST]
    assert FIRST not in _printed(capsys, "status", "--help")
    assert all(option.flags != ("--output",) for group in groups_of("run")[2:] for option in group.options)


def test_every_group_of_options_has_a_title_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """And the one that a command has alone says so."""
    for command in SETTINGS:
        titles = [group.title for group in groups_of(command)]
        assert all(re.fullmatch(r"[a-z][a-z ,:]+", title) for title in titles), titles
    assert "\nthis command:\n" in _printed(capsys, "fetch", "--help")


def _completed(script: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in words)
    asked = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _farm; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=True, cwd=script.parent
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("farm", "r"), ["run", "resume", "render-report"]),
        (("farm", "help", "ver"), ["version"]),
        (("farm", "run", "--site-c"), ["--site-concurrency"]),
        (("farm", "run", "--scope", "p"), ["page", "prefix"]),
        (("farm", "run", "--scope", "=", "do"), ["domain"]),
        (("farm", "run", "--scope", "="), ["page", "prefix", "host", "domain", "any"]),
        (("farm", "run", "--output", "ou"), ["out"]),
        (("farm", "run", "--seeds", "se"), ["seeds.txt"]),
        (("farm", "run", "--output", "my"), ["my shop"]),
        (("farm", "export", "ou"), ["out"]),
        (("farm", "extract", "se"), ["seeds.txt"]),
        (("farm", "add", "se"), []),
        (("farm", "top", "--outp"), ["--output"]),
        (("farm", "run", "--rate", ""), []),
        (("farm", "dead", ""), [*WORDS["dead"]]),
        (("farm", "dead", "show", "--j"), ["--json"]),
        (("farm", "completion", "z"), ["zsh"]),
        (("farm", "nothing", "-"), []),
    ],
)
def test_bash_completes(
    words: tuple[str, ...], offered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, their words, flags and values; files and folders where a flag takes one."""
    script = tmp_path / "farm.bash"
    script.write_text(_printed(capsys, "completion", "bash"))
    (tmp_path / "out").mkdir()
    (tmp_path / "my shop").mkdir()
    (tmp_path / "seeds.txt").touch()
    assert _completed(script, *words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_are_told_the_same(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command, each flag; and every quote is closed."""
    script = _printed(capsys, "completion", shell)
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", script)
    for option in options_of("run"):
        for flag in option.flags:
            assert (
                f"'{flag}" if shell == "zsh" else f" -{'l' if flag[:2] == '--' else 's'} {flag.lstrip('-')} "
            ) in script
    escaped = script.replace("'\\''", "") if shell == "zsh" else re.sub(r"\\.", "", script)
    assert all(line.count("'") % 2 == 0 for line in escaped.splitlines())


def test_an_unknown_shell_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """With the one that was meant."""
    assert main(["completion", "bsh"]) == 2
    assert "(did you mean bash?)" in capsys.readouterr().err
    assert main(["man", "run"]) == 2


def test_the_man_page_has_every_option_and_nothing_that_troff_would_act_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a text begins with or has in it."""
    page = _printed(capsys, "man")
    macros = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert macros <= {".TH", ".SH", ".SS", ".TP", ".B", ".I"}
    assert set(re.findall(r"\\(.)", page)) <= {"-", "f", "e", "&"}
    for command in SETTINGS:
        for option in options_of(command):
            for flag in option.flags:
                assert "\\fB" + flag.replace("-", "\\-") + "\\fR" in page
    assert all(f".B {code}\n" in page for code in EXIT_CODES)


def test_an_option_has_the_same_help_in_every_command() -> None:
    """It is declared once."""
    texts = {
        option.text for command in SETTINGS for option in options_of(command) if "--redis" in option.flags
    }
    assert len(texts) == 1

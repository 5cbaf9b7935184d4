"""What is said of a name that is nearly right, and of a value that is wrong: where it stands, what was meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli.main import COMMANDS, main
from farm.model.errors import UsageError
from farm.settings.commands import RunSettings
from farm.settings.load import load, set_by_file
from farm.settings.origin import check_environment, nearest

URL = "http://shop.example/"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no `farm.toml` but the test's own."""
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Return the one line on standard error that a command ends with."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["run", "--context", "4", URL], "did you mean --contexts?"),
        (["run", "--include-re", "x", URL], "did you mean --include?"),
        (["run", "--outptu=x", URL], "did you mean --output?"),
        (["rnu", URL], "did you mean run?"),
        (["statsu"], "did you mean status?"),
        (["help", "rnu"], "did you mean run?"),
        ([URL], f"write `farm run {URL}`"),
    ],
)
def test_the_nearest_name_is_offered(
    capsys: pytest.CaptureFixture[str], arguments: list[str], meant: str
) -> None:
    """Of options and commands."""
    assert meant in said(capsys, *arguments)


def test_nothing_is_offered_where_nothing_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    """And a name of any length is answered at once."""
    assert "did you mean" not in said(capsys, "run", "--zebra", URL)
    assert nearest("x" * 1_000_000, ["contexts"]) is None


def test_a_key_and_a_variable_are_offered_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error must not be without effect."""
    (tmp_path / "farm.toml").write_text("context = 3\n")
    assert "did you mean contexts?" in said(capsys, "run", URL)
    (tmp_path / "farm.toml").unlink()
    monkeypatch.setenv("FARM_CONTEXT", "3")
    assert "did you mean FARM_CONTEXTS?" in said(capsys, "status")


def test_a_variable_that_is_nothing_like_a_setting_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs have farms too."""
    monkeypatch.setenv("FARM_GREENHOUSE_URL", "x")
    check_environment(["contexts", "rate"])


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("flag", "--rate fast:"),
        ("variable", "FARM_RATE: --rate fast:"),
        ("file", "farm.toml, line 3: --rate fast:"),
    ],
)
def test_a_bad_value_is_blamed_on_where_it_stands(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    place: str,
) -> None:
    """Whoever wrote it in a file does not look for a flag."""
    flags = []
    (tmp_path / "farm.toml").write_text("# pace\n\nrate = 'fast'\n" if given == "file" else "rate = '5/s'\n")
    if given == "flag":
        flags = ["--rate", "fast"]
    if given == "variable":
        monkeypatch.setenv("FARM_RATE", "fast")
    assert said(capsys, "run", URL, *flags).startswith(f"farm: {place} write a rate")


def test_what_is_found_wrong_later_is_blamed_on_its_place_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there, for one."""
    monkeypatch.setenv("FARM_CA_FILE", "no-such-file")
    assert said(capsys, "run", URL).startswith("farm: FARM_CA_FILE: --ca-file no-such-file cannot be read")
    assert said(capsys, "run", URL, "--ca-file", "x").startswith("farm: --ca-file x cannot be read")


@pytest.mark.parametrize(
    ("arguments", "forms"),
    [
        (["--wait", "a while"], "settle, load, domcontentloaded or css:SELECTOR"),
        (["--scope"], "page, prefix, host, domain, any"),
        (["--viewport"], "WxH"),
        (["--contexts"], "N (browser contexts that work at the same time)"),
    ],
)
def test_the_forms_that_an_option_has_are_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], forms: str
) -> None:
    """Where the value is none of them, and where there is none."""
    assert forms in said(capsys, "run", URL, *arguments)


def wrong_of() -> str:
    """Return what is wrong with the settings; empty where nothing is."""
    try:
        load(RunSettings, [], "farm run", "")
    except UsageError as error:
        return str(error)
    return ""


def test_every_option_can_be_given_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are several numbers or a list."""
    for name, text, value in (
        ("VIEWPORT", "1000x700", (1000, 700)),
        ("BLOCK", "images,fonts", ("images", "fonts")),
        ("INCLUDE", "a\nb", ("a", "b")),
        ("KEEP_PARAMS", "ref,tag", ("ref", "tag")),
    ):
        monkeypatch.setenv(f"FARM_{name}", text)
        assert getattr(load(RunSettings, [], "farm run", ""), name.lower()) == value
    for name in RunSettings.model_fields:
        monkeypatch.setenv(f"FARM_{name.upper()}", "1")
        assert "error parsing value" not in wrong_of()
        monkeypatch.delenv(f"FARM_{name.upper()}")


def test_a_short_flag_names_the_output_folder() -> None:
    """As in most programs."""
    assert load(RunSettings, ["-o", "here"], "farm run", "").output == Path("here")


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["version"]])
def test_the_version(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """By whichever name."""
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("farm ")


def test_the_package_is_the_command() -> None:
    """Where the script is not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "farm", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("farm ")


def test_help_for_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`farm help run` is `farm run --help`."""
    with pytest.raises(SystemExit) as ended:
        main(["help", "run"])
    assert ended.value.code == 0
    assert "usage: farm run" in capsys.readouterr().out


def test_an_error_never_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """What a user pastes, a site or a server said may hold anything."""
    shown = said(capsys, "run", "http://a b\x1b[31m\u202e/").rstrip("\n")
    assert shown.isprintable()


def test_a_file_of_the_folder_names_no_program_to_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project from elsewhere may bring the file and the program; who trusts it says so."""
    (tmp_path / "farm.toml").write_text("browser = './evil'\n")
    assert "names a program to run, ./evil; if you trust it, give --browser ./evil" in said(
        capsys, "run", URL
    )
    assert load(RunSettings, ["--browser", "x"], "farm run", "").browser == Path("x")
    monkeypatch.setenv("FARM_BROWSER", "y")
    assert load(RunSettings, [], "farm run", "").browser == Path("y")


def test_what_the_file_sets_can_be_named(tmp_path: Path) -> None:
    """So that nobody wonders where a setting comes from."""
    assert set_by_file(RunSettings) == ()
    (tmp_path / "farm.toml").write_text("rate = '5/s'\ncontexts = 3\npages = 9\n")
    assert set_by_file(RunSettings) == ("contexts", "rate")


def test_a_file_of_another_owner_is_not_trusted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder where everybody may write, somebody may have left one."""
    (tmp_path / "farm.toml").write_text("contexts = 1\n")
    assert load(RunSettings, [], "farm run", "").contexts == 1
    theirs = os.stat_result((0o100644, 0, 0, 1, os.geteuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda _: theirs)
    assert "belongs to another user and is not trusted" in said(capsys, "run", URL)


@pytest.mark.parametrize("text", ["0600", "640", "0o644", "0660"])
def test_modes_of_files(text: str) -> None:
    """As they are written for chmod."""
    settings = load(RunSettings, ["--file-mode", text], "farm run", "")
    assert settings.file_mode == int(text.removeprefix("0o"), 8)
    assert settings.model_dump(mode="json")["file_mode"] == f"0{settings.file_mode:o}"


@pytest.mark.parametrize("text", ["0755", "0440", "rw", "1777", "0", "99999"])
def test_what_is_no_mode_of_a_file(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Nobody executes records, and their owner writes them."""
    assert "0600, 0640 or 0644" in said(capsys, "run", URL, "--file-mode", text)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--limit", "many"], "--limit many: write a whole number of at least 0."),
        (["--limit="], "--limit '': write a whole number of at least 0."),
        (["--retries", "-1"], "--retries -1: write a whole number of at least 0."),
        (["--depth", "1.5"], "--depth 1.5: write a whole number of at least 0."),
        (["--scroll", "5000"], "--scroll 5000: write a whole number from 0 to 1000."),
        (["--site-concurrency", "0"], "--site-concurrency 0: write a whole number of at least 1."),
        (["--max-download", "75%"], "--max-download 75%: write a size such as 512MiB or 20GiB."),
        (["--node", "a b"], "1 to 64 letters, digits, dots, dashes or underscores"),
        (
            ["--scope", "hosts"],
            "--scope hosts: write one of page, prefix, host, domain, any (did you mean host?)",
        ),
        (["--live="], "--live '': write one of auto, on, off;"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_what_can(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """In the words of the farm, not of its libraries."""
    assert sentence in said(capsys, "run", URL, *arguments)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("html = 'maybe'", "--html maybe: write true or false."),
        ("header = { a = 'b' }", 'write a list of texts, such as ["one", "two"].'),
    ],
)
def test_a_value_of_another_type_in_the_file_is_told_with_what_can_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, sentence: str
) -> None:
    """With the line of the file."""
    (tmp_path / "farm.toml").write_text(line + "\n")
    whole = said(capsys, "run", URL)
    assert whole.startswith("farm: farm.toml, line 1: ")
    assert sentence in whole


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["status", "crawls/x"], "takes no argument 'crawls/x'; an output folder is given by --output"),
        (["replay"], "write `farm dead replay`"),
        (["dead", "lst"], "did you mean list?"),
        (["run", "-"], "give --seeds - to read URLs from standard input"),
    ],
)
def test_what_was_probably_meant_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], remedy: str
) -> None:
    """An argument where an option belongs, a command's second word without its first."""
    assert remedy in said(capsys, *arguments)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Also the one without options; the synopsis is one line."""
    try:
        code: object = main(["help", command])
    except SystemExit as ended:
        code = ended.code
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith(f"usage: farm {command}")
    assert out.splitlines()[1] == ""


def test_the_crawls_that_there_are_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """So that one of them can be copied; of many, the first."""
    for number in range(7):
        Path(f"crawls/c{number}/.farm/redis").mkdir(parents=True)
    named = said(capsys, "status")
    assert (
        "There are 7 crawls, crawls/c0, crawls/c1, crawls/c2, crawls/c3, crawls/c4 and 2 more; name" in named
    )


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["run", URL, "--redis-ca-file", "x"], "--redis; give --redis URL too"),
        (["status", "--redis-ca-file", "x"], "--redis; give --redis URL too"),
        (["run", URL, "--click-times", "2"], "--click; give --click CSS too"),
        (["run", URL, "--max-download", "1MiB"], "--download; give --download too"),
        (["run", URL, "--sitemap-since", "2026-01-31"], "--sitemap; give --sitemap URL too"),
        (["run", URL, "--proxy-rotation", "page"], "--proxies; give --proxies FILE too"),
        (["run", URL, "--proxy-rate", "1/s"], "--proxies; give --proxies FILE too"),
        (["run", URL, "--proxy-cooldown", "1s"], "--proxies; give --proxies FILE too"),
        (["run", URL, "--proxy-patience", "1s"], "--proxies; give --proxies FILE too"),
        (["run", URL, "--proxy-bytes", "1GiB"], "--proxies; give --proxies FILE too"),
        (["plan", "--pages", "5", "--proxy-rate", "1/s"], "--proxies; give --proxies FILE too"),
    ],
)
def test_a_flag_without_effect_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], needed: str
) -> None:
    """Whoever gives it means what it does together with another."""
    assert (
        said(capsys, *arguments)
        == f"farm: {arguments[-2]} has no effect without {needed}, or leave it out.\n"
    )


def test_a_port_of_zero_is_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    """Any that is free: what needs a port has an effect with it."""
    settings = load(RunSettings, [URL, "--metrics-port", "0", "--token-file", "x"], "farm run", "")
    assert (settings.metrics_port, settings.token_file) == (0, Path("x"))
    assert "no effect without --metrics-port" in said(capsys, "run", URL, "--token-file", "x")


def test_what_a_file_gives_for_many_commands_may_go_without(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same of a flag that takes something away."""
    (tmp_path / "farm.toml").write_text("proxy_rotation = 'page'\nclick_times = 3\n")
    assert "no crawl in" in said(capsys, "run", "--output", "x", "--proxy-bytes", "none")

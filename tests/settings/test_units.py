"""The units that users write, and the ways to give an option."""

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.model.errors import UsageError
from farm.model.url import HashRoutes
from farm.settings.commands import RunSettings
from farm.settings.load import load
from farm.settings.units import parse_duration, parse_memory, parse_rate, parse_size


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no `farm.toml` but the test's own."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> RunSettings:
    """Load `farm run`'s settings."""
    return load(RunSettings, arguments, "farm run", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("8s", 8), ("10m", 600), ("2h", 7200), ("0s", 0), ("1.5s", 1.5), ("1d", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    """As the contract writes them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["8", "s", "-1s", "8 sec", "", "1e3s", "∞"])
def test_what_is_no_duration_says_what_one_is(text: str) -> None:
    """With examples."""
    with pytest.raises(ValueError, match="500ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 * 2**20), ("3GiB", 3 * 2**30), ("50%", 500), ("1GB", 10**9), ("100%", 1000)],
)
def test_memory_is_a_size_or_a_share(text: str, size: int) -> None:
    """A share of what the machine has."""
    assert parse_memory(text).of(1000) == size


@pytest.mark.parametrize("text", ["0%", "101%", "0GiB", "many", "5", "-1GiB"])
def test_what_is_no_memory_says_what_is(text: str) -> None:
    """With examples."""
    with pytest.raises(ValueError, match="6GiB"):
        parse_memory(text)


def test_an_option_is_a_flag_a_variable_and_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A flag wins over the environment, the environment over the file, the file over the default."""
    assert run().recycle_pages == 100
    (tmp_path / "farm.toml").write_text("recycle_pages = 1\nexclude = ['a{1,2}', '[x]']\n")
    assert run().recycle_pages == 1
    assert run().exclude == ("a{1,2}", "[x]")
    monkeypatch.setenv("FARM_RECYCLE_PAGES", "2")
    assert run().recycle_pages == 2
    assert run("--recycle-pages", "3").recycle_pages == 3


def test_patterns_keep_their_commas_and_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated as flags, a line each in a variable."""
    assert run("--exclude", "a{1,2}", "--exclude", "[b,c]").exclude == ("a{1,2}", "[b,c]")
    monkeypatch.setenv("FARM_EXCLUDE", "a{1,2}\n[b,c]")
    assert run().exclude == ("a{1,2}", "[b,c]")


def test_only_what_was_given_counts_as_given() -> None:
    """A crawl that is joined keeps its settings unless the user says otherwise."""
    assert run("--depth", "2").model_fields_set == {"depth"}
    assert run("http://a.example/").model_fields_set == {"urls"}


def test_switches_have_two_sides() -> None:
    """As the contract names them."""
    settings = run("--no-html", "--no-sandbox", "--fresh")
    assert (settings.html, settings.sandbox, settings.fresh, settings.text) == (False, False, True, True)


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ([], HashRoutes.OFF),
        (["--hash-routes"], HashRoutes.ON),
        (["--hash-routes", "http://a.example/"], HashRoutes.ON),
        (["--hash-routes", "--limit", "3", "http://a.example/"], HashRoutes.ON),
        (["http://a.example/", "--hash-routes"], HashRoutes.ON),
        (["--no-hash-routes", "http://a.example/"], HashRoutes.OFF),
        (["--hash-routes", "auto", "http://a.example/"], HashRoutes.AUTO),
        (["--hash-routes=auto", "http://a.example/"], HashRoutes.AUTO),
        (["--hash-routes", "off"], HashRoutes.OFF),
    ],
)
def test_hash_routes_is_still_a_flag_where_no_value_follows(arguments: list[str], mode: HashRoutes) -> None:
    """What scripts give today goes on working: what follows the flag is no value of it."""
    settings = run(*arguments)
    assert settings.hash_routes is mode
    assert settings.urls == tuple(one for one in arguments if one.startswith("http:"))


@pytest.mark.parametrize(("text", "mode"), [("true", "on"), ("0", "off"), ("auto", "auto"), ("On", "on")])
def test_hash_routes_may_be_yes_or_no(monkeypatch: pytest.MonkeyPatch, text: str, mode: str) -> None:
    """As a variable has said it until now."""
    monkeypatch.setenv("FARM_HASH_ROUTES", text)
    assert run().hash_routes == mode


def test_what_is_no_mode_of_hash_routes_says_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line and elsewhere."""
    with pytest.raises(UsageError, match="--hash-routes atuo: write one of off, on, auto"):
        run("--hash-routes=atuo")
    monkeypatch.setenv("FARM_HASH_ROUTES", "some")
    with pytest.raises(UsageError, match="--hash-routes some: write off, on, auto"):
        run()


def test_kinds_to_block_are_words_between_commas() -> None:
    """Or none."""
    assert run("--block", "images,trackers").block == ("images", "trackers")
    assert run("--block", "none").block == ()


def test_a_file_that_is_not_toml_is_one_sentence(tmp_path: Path) -> None:
    """With the line."""
    (tmp_path / "farm.toml").write_text("contexts = \n")
    with pytest.raises(UsageError, match=r"farm\.toml cannot be read: .*line 1"):
        run()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("5", "5s"),
        ("0", "0s"),
        ("1.5", "1.5s"),
        ("5 sec", "5s"),
        ("5seconds", "5s"),
        ("5 min", "5m"),
        ("20msec", "20ms"),
        ("2 Hours", "2h"),
        ("3 months", ""),
        ("3 weeks", ""),
        ("soon", ""),
        ("9" * 1000, ""),
    ],
)
def test_a_duration_that_is_nearly_right_is_told_the_right_form(text: str, meant: str) -> None:
    """Which is what most people write first."""
    assert said_by(parse_duration, text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [("5", "5/s"), ("5/sec", "5/s"), ("30 per minute", "30/m"), ("5s", "5/s"), ("0", ""), ("fast", "")],
)
def test_a_rate_that_is_nearly_right_is_told_the_right_form(text: str, meant: str) -> None:
    """None for what can be no rate at all."""
    assert said_by(parse_rate, text) == meant


@pytest.mark.parametrize("parse", [parse_memory, parse_size])
@pytest.mark.parametrize(
    ("text", "meant"),
    [("6G", "6GiB"), ("512m", "512MiB"), ("2 gigabytes", "2GiB"), ("512", "512MiB or 512GiB"), ("0", "")],
)
def test_a_size_that_is_nearly_right_is_told_the_right_form(
    parse: Callable[[str], object], text: str, meant: str
) -> None:
    """Also where no share may be given."""
    assert said_by(parse, text) == meant


def said_by(parse: Callable[[str], object], text: str) -> str:
    """Return what is offered in place of a text that is refused; nothing where nothing is."""
    with pytest.raises(ValueError, match="write a ") as error:
        parse(text)
    return str(error.value).partition("(did you mean ")[2].removesuffix("?)")


@pytest.mark.parametrize(
    ("key", "meant"), [("page_timeout", "5s"), ("rate", "5/s"), ("max_disk", "5MiB or 5GiB")]
)
@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_a_number_without_its_unit_is_refused_in_every_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, meant: str, source: str
) -> None:
    """What means five seconds in one place must not be an error in another."""
    flags = [f"--{key.replace('_', '-')}", "5"] if source == "flag" else []
    if source == "variable":
        monkeypatch.setenv(f"FARM_{key.upper()}", "5")
    if source == "file":
        (tmp_path / "farm.toml").write_text(f"{key} = 5\n")
    with pytest.raises(UsageError, match=f"did you mean {meant}"):
        run(*flags)

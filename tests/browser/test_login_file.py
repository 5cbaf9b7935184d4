"""The file of `--login`: what it says, what is wrong in it, and that nobody reads a session without it."""

from pathlib import Path

import pytest

from farm.browser.login import LARGEST_BYTES, LoginFlow, read_login
from farm.model.errors import UsageError
from farm.scope.rules import registrable_domain

FLOW = """
url = "https://shop.example/login"
logged_in = "a.out"

[[step]]
fill = "#user"
with = "me@example.org"

[[step]]
fill = "#password"
with_env = "MEMBERS_PASSWORD"

[[step]]
click = "button"
"""


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what one of the steps fills in."""
    monkeypatch.setenv("MEMBERS_PASSWORD", "correct horse")


def read(folder: Path, text: str = FLOW, logged_in: str | None = None) -> LoginFlow:
    """Read a text as the file."""
    (folder / "login.toml").write_text(text)
    return read_login(folder / "login.toml", logged_in, registrable_domain)


def test_a_login_is_read(tmp_path: Path) -> None:
    """With what the environment has; nothing of it is shown."""
    flow = read(tmp_path, logged_in="#account")
    assert (flow.site, flow.logged_in) == ("shop.example", "#account")
    assert [(step.kind, step.target, step.value.reveal()) for step in flow.steps] == [
        ("fill", "#user", "me@example.org"),
        ("fill", "#password", "correct horse"),
        ("click", "button", ""),
    ]
    assert "horse" not in f"{flow!r} {flow.steps!r}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("url =", "# url ="), "url is the address of a page of the login"),
        (("https://", "ftp://"), "url is the address of a page of the login"),
        (("https://", "https://joe:pw@"), "url has a user and a password; give an address without"),
        (("https://shop.example", "https://["), "url is the address of a page of the login"),
        (('click = "', 'open = "'), "step 3: open is the address of a page of the login"),
        (("logged_in =", "# logged_in ="), "logged_in is a CSS selector"),
        (("logged_in", "logged-in"), "'logged-in' is not a key"),
        (("MEMBERS_PASSWORD", "NOWHERE"), "step 2: the environment has no NOWHERE"),
        (('with = "', 'wit = "'), "step 1: write one of fill, click, wait, open"),
        (('click = "', 'with = "x"\nclick = "'), "step 3: fill, and no other step, has"),
        (("[[step]]", "[step"), "correct the TOML"),
        (("logged_in =", "timeout_s = 0\nlogged_in ="), "timeout_s is how long a step may take, 60 at most"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, changed: tuple[str, str], message: str) -> None:
    """Without a value."""
    with pytest.raises(UsageError) as told:
        read(tmp_path, FLOW.replace(*changed))
    assert message in str(told.value)
    assert "example.org" not in str(told.value)


def test_a_file_is_read_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """Of one that was cut the last steps would be missing; one that nests without end is no bug of the farm's."""
    with pytest.raises(UsageError, match="larger than 64 KiB"):
        read(tmp_path, FLOW + "#" * LARGEST_BYTES)
    with pytest.raises(UsageError, match="correct the TOML"):
        read(tmp_path, "a = " + "[" * 5_000)
    with pytest.raises(UsageError, match=r"--login .* cannot be read"):
        read_login(tmp_path / "none.toml", None, registrable_domain)


@pytest.mark.parametrize("written", ["HTTPS://Shop.Example:443", "https://shop.example:443"])
def test_a_login_is_that_of_the_site_however_its_address_is_written(tmp_path: Path, written: str) -> None:
    """Else it would be met by no page, and nobody would log in."""
    flow = read(tmp_path, FLOW.replace("https://shop.example", written))
    assert (flow.site, flow.url) == ("shop.example", "https://shop.example/login")


def test_a_session_is_read_by_the_same_login_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same crawl, with the same password; what is in Redis says nothing to others."""
    state = {"cookies": [{"name": "session", "value": "abcdef"}], "origins": []}
    flow = read(tmp_path)
    sealed = flow.seal("shop").seal("v1", state)
    assert b"abcdef" not in sealed
    assert read(tmp_path).seal("shop").open(sealed) == ("v1", state)
    assert flow.seal("another").open(sealed) is None
    assert flow.seal("shop").open(sealed[:-1]) is None
    monkeypatch.setenv("MEMBERS_PASSWORD", "another")
    assert read(tmp_path).seal("shop").open(sealed) is None

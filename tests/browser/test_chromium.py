"""Which Chromium is found, on machines made for the purpose, and the program that starts it."""

import json
import subprocess
from inspect import getfile
from pathlib import Path

import playwright
import pytest

from farm.browser.chromium import (
    UNWANTED_FEATURES,
    BrowserBinary,
    environment,
    find_browser,
    find_windowed_browser,
    write_launcher,
)
from farm.model.errors import BrowserUnavailable


def program(path: Path, content: bytes = b"\x7fELF") -> Path:
    """Write something that can be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty machine: nothing on the PATH, nothing of Playwright's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    return folder


def test_no_browser_is_one_sentence_with_the_remedy(bare: Path) -> None:
    """It names both ways to get one."""
    with pytest.raises(BrowserUnavailable, match=r"playwright install.*chromium-headless-shell"):
        find_browser()


def test_the_headless_shell_is_preferred_to_full_chromium(bare: Path) -> None:
    """A page costs it a fraction."""
    program(bare / "chromium")
    shell = program(bare / "chromium-headless-shell")
    found = find_browser()
    assert found == BrowserBinary(shell, headless_shell=True, source="system")


def test_a_launcher_script_is_followed_to_the_program_it_starts(bare: Path, tmp_path: Path) -> None:
    """A script that does not exec is another process than the browser."""
    real = program(tmp_path / "lib" / "chromium" / "chromium-headless-shell")
    program(bare / "chromium-headless-shell", f'#!/bin/sh -e\n\n{real} "$@"\n'.encode())
    assert find_browser().path == real


def test_a_launcher_that_leads_nowhere_is_no_browser(bare: Path) -> None:
    """A snap's placeholder, for example."""
    program(bare / "chromium-browser", b"#!/bin/sh\nexec /snap/bin/chromium\n")
    with pytest.raises(BrowserUnavailable):
        find_browser()


def test_playwrights_own_comes_first_in_its_own_revision(bare: Path, tmp_path: Path) -> None:
    """Another revision belongs to another version of Playwright."""
    program(bare / "chromium-headless-shell")
    listing = Path(getfile(playwright)).parent / "driver" / "package" / "browsers.json"
    browsers = json.loads(listing.read_text())["browsers"]
    revision = next(b["revision"] for b in browsers if b["name"] == "chromium-headless-shell")
    own = tmp_path / "browsers" / f"chromium_headless_shell-{revision}" / "chrome-linux" / "headless_shell"
    program(own)
    assert find_browser() == BrowserBinary(own, headless_shell=True, source="playwright")


def test_a_wanted_browser_is_taken_or_refused_by_name(bare: Path, tmp_path: Path) -> None:
    """No other is run in its place."""
    wanted = program(tmp_path / "my-chromium")
    assert find_browser(wanted).path == wanted
    with pytest.raises(BrowserUnavailable, match="no-such-browser"):
        find_browser(tmp_path / "no-such-browser")


def test_all_disabled_features_reach_the_browser_and_every_other_argument_as_it_was(tmp_path: Path) -> None:
    """Chromium heeds the last list alone."""
    program = tmp_path / "a browser"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o700)
    launcher = write_launcher(tmp_path, program)
    arguments = [
        "--disable-features=One,Two",
        "--rules=MAP * ~NOTFOUND , EXCLUDE 1",
        "",
        "--disable-features=Three",
    ]
    said = subprocess.run(
        [launcher, *arguments], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    features, *others = said.split("\n")[:-1]
    assert set(features.partition("=")[2].split(",")) == {"One", "Two", "Three", *UNWANTED_FEATURES}
    assert others == [arguments[1], ""]


def test_a_window_needs_another_browser_than_a_crawl(bare: Path, tmp_path: Path) -> None:
    """The headless shell has none; without another one the remedy is said."""
    program(bare / "chromium-headless-shell")
    with pytest.raises(BrowserUnavailable, match=r"No browser with windows.*install chromium"):
        find_windowed_browser()
    with pytest.raises(BrowserUnavailable, match=r"headless_shell is a browser without windows"):
        find_windowed_browser(program(tmp_path / "headless_shell"))
    whole = program(bare / "chromium")
    assert find_windowed_browser() == BrowserBinary(whole, headless_shell=False, source="system")


def test_a_browser_with_a_window_alone_knows_the_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may draw on a display may also read what is typed there."""
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("FARM_TOKEN", "secret")
    monkeypatch.setenv("HOME", "/root/me")
    shown = environment(tmp_path, windowed=True)
    assert (shown["DISPLAY"], shown["XAUTHORITY"], shown["HOME"]) == (
        ":7",
        "/root/me/.Xauthority",
        str(tmp_path),
    )
    hidden = environment(tmp_path, windowed=False)
    assert "DISPLAY" not in hidden
    assert "XAUTHORITY" not in hidden
    assert "FARM_TOKEN" not in shown

"""The program that Playwright starts as the browser."""

import subprocess
from pathlib import Path

from farm.browser.flags import UNWANTED_FEATURES, write_launcher


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

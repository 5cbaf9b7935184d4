"""Whether Chromium's sandbox is on, and what is said of it."""

import os
from pathlib import Path

import pytest

from farm.build.preflight import preflight
from farm.settings.commands import RunSettings


@pytest.mark.parametrize(
    ("user", "wanted", "on", "warned"),
    [
        (1000, True, True, False),
        (0, True, False, True),
        (0, False, False, False),
        (1000, False, False, False),
    ],
)
def test_the_sandbox_is_on_except_for_root_who_is_warned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, wanted: bool, on: bool, warned: bool
) -> None:
    """`--no-sandbox` is an answer to the warning."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    plan = preflight(RunSettings(urls=("https://a.example/",), output=tmp_path, sandbox=wanted))
    assert plan.sandbox is on
    assert sum("sandbox" in warning for warning in plan.warnings) == warned

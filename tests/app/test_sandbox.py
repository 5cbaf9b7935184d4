"""Whether Chromium's sandbox is on, and what is said of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.app.preflight import preflight
from farm.browser import chromium
from farm.settings.commands import RunSettings

IN_A_CHROOT = "import ctypes, os\nos.chroot('/tmp')\n"
"""There no process may make a user namespace: a refusal of the real kernel's."""


@pytest.mark.parametrize(
    ("user", "refused", "wanted", "on", "warned"),
    [
        (1000, False, True, True, ""),
        (1000, True, True, False, "user namespaces"),
        (0, False, True, False, "root"),
        (0, False, False, False, ""),
        (1000, True, False, False, ""),
    ],
)
def test_the_sandbox_is_on_except_for_root_and_where_it_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    refused: bool,
    wanted: bool,
    on: bool,
    warned: str,
) -> None:
    """With one warning, to which `--no-sandbox` is an answer."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(chromium, "sandbox_is_refused", lambda: refused)
    plan = preflight(RunSettings(urls=("https://a.example/",), output=tmp_path, sandbox=wanted))
    assert plan.sandbox is on
    said = [warning for warning in plan.warnings if "sandbox" in warning]
    assert [warned in one for one in said] == ([True] if warned else [])


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can make such a place")
@pytest.mark.parametrize(("before", "code"), [(IN_A_CHROOT, chromium.REFUSED), ("", 0)])
def test_a_refusal_of_the_kernel_is_noticed(before: str, code: int) -> None:
    """Asked for in the way in which Chromium asks."""
    done = subprocess.run([sys.executable, "-IS", "-c", before + chromium.PROBE], check=False)
    assert done.returncode == code


def test_a_machine_that_gives_namespaces_is_not_said_to_refuse() -> None:
    """And what cannot be found out is left to the browser itself."""
    assert chromium._is_set_uid(Path("/nowhere")) is False
    done = subprocess.run([sys.executable, "-IS", "-c", chromium.PROBE], check=False)
    assert chromium.sandbox_is_refused() is (done.returncode == chromium.REFUSED)

"""Whether Chromium can use its sandbox on this machine.

It does not work for root, and a kernel, a container's profile or a distribution's policy may forbid the namespaces
that it needs; Chromium then starts only without it. This is tested as Chromium does it, by a process that creates
the namespaces and exits.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

from farm.model.secret import kept

PROBE = """import ctypes, os
user, pid, net = 0x10000000, 0x20000000, 0x40000000
os._exit(23 if ctypes.CDLL(None).unshare(user | pid | net) else 0)
"""
REFUSED = 23
PROBE_S = 10.0
SET_UID = ("/usr/lib/chromium/chrome-sandbox", "/opt/google/chrome/chrome-sandbox")
"""The set-user-id programs with which distributions make a sandbox without user namespaces."""
REMEDY = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile)"
)


def why_without() -> str:
    """Return why Chromium must run without its sandbox, with the remedy; "" if it can use it."""
    if os.geteuid() == 0:
        return "it does not work for root; run as another user"
    if refused():
        return f"the kernel refuses it; {REMEDY}"
    return ""


def refused() -> bool:
    """Return whether the kernel refuses the namespaces, and there is no set-user-id sandbox; False if unknown."""
    if sys.platform != "linux" or any(_is_set_uid(Path(path)) for path in SET_UID):
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-IS", "-c", PROBE],
            check=False,
            timeout=PROBE_S,
            env=kept(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == REFUSED


def _is_set_uid(path: Path) -> bool:
    try:
        about = path.stat()
    except OSError:
        return False
    return about.st_uid == 0 and bool(about.st_mode & stat.S_ISUID)

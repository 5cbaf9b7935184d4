"""Whether Chromium can have its sandbox here: for root it does not work, and some kernels refuse it.

Tried as Chromium tries it, by a process that makes the namespaces and ends. A kernel, a container's profile or a
distribution's policy may refuse that, and Chromium then does not start at all unless it goes without.
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
"""Where distributions put the program that makes a sandbox without user namespaces."""
REMEDY = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile)"
)


def why_without() -> str:
    """Return why Chromium must go without its sandbox, with the remedy; empty where it need not."""
    if os.geteuid() == 0:
        return "it does not work for root; run as another user"
    if refused():
        return f"the kernel refuses it; {REMEDY}"
    return ""


def refused() -> bool:
    """Whether the kernel refuses it the namespaces, and nothing else makes it one; unknown counts as no."""
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

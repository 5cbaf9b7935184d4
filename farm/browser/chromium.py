"""Chromium on this machine: which executable to drive, whether with its sandbox, and by which command line.

Playwright's own browser is taken if it is installed, else the system's. The headless shell is preferred to full
Chromium because a page costs it a fraction of the CPU. Only real executables are returned: a distribution's
launcher may be a shell script that does not `exec`; killing its process would orphan the browser.

The sandbox does not work for root, and a kernel, a container's profile or a distribution's policy may forbid the
namespaces that it needs; Chromium then starts only without it. This is tested as Chromium does it, by a process
that creates the namespaces and exits.

The command line sends all traffic through the gateway and turns off what a crawl does not need. Chromium heeds
only the last `--disable-features`, and Playwright passes one whose value changes with every version. So a launcher
script merges the farm's with Playwright's.
"""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getfile
from pathlib import Path

import playwright

from farm.model.errors import BrowserUnavailable
from farm.model.secret import kept

SYSTEM_NAMES = (
    "chromium-headless-shell",
    "headless_shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
DEBIAN_FOLDER = Path("/usr/lib/chromium")
SCRIPT_HEAD_BYTES = 65536
INSTALL = "run `playwright install chromium --only-shell`, or install chromium-headless-shell or chromium"
PROBE = """import ctypes, os
user, pid, net = 0x10000000, 0x20000000, 0x40000000
os._exit(23 if ctypes.CDLL(None).unshare(user | pid | net) else 0)
"""
REFUSED = 23
PROBE_DEADLINE_S = 10.0
SET_UID = ("/usr/lib/chromium/chrome-sandbox", "/opt/google/chrome/chrome-sandbox")
"""The set-user-id programs with which distributions make a sandbox without user namespaces."""
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
OF_DISPLAYS = (*DISPLAYS, "XAUTHORITY", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE")
"""The variables that lead a program to the user's display."""
ALLOW_NAMESPACES = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile)"
)
NOWHERE = "http://127.0.0.1:9"
"""The browser-wide proxy, the discard port: a context without a slot proxy reaches nothing."""

EGRESS = (
    # The gateway resolves names; if Chromium did, it would bypass the guard.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-pings",
)
FRUGAL = (
    "--disable-gpu",
    "--mute-audio",
    # A profile lives as long as its engine; without this bound its disk cache would grow all that time.
    "--disk-cache-size=33554432",
)
WINDOWED = ("--ozone-platform-hint=auto",)
"""With a window it takes the display that there is, X11's or Wayland's."""
FRAMES_ON_DEMAND = (
    # Frames are made on request only: painting unseen frames is a sixth of a page's CPU.
    "--enable-begin-frame-control",
    "--run-all-compositor-stages-before-draw",
    # In the compositor an animation would begin when it is drawn, which never happens.
    "--disable-threaded-animation",
)
POINTER = "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
"""The values of Playwright's own `--blink-settings`, which this replaces: only the last one counts."""
NO_IMAGES = (
    # Blink does not load images: no request, and none of the two events that a blocked image costs.
    f"--blink-settings={POINTER},loadsImagesAutomatically=false",
)
UNWANTED_FEATURES = (
    # It gives each document a view of its own, with a compositor and its connections in two processes. Pages of
    # one site do not need that, and it is a fifth of a page's CPU in the browser.
    "RenderDocument",
)
LAUNCHER = """#!/bin/sh
features={features}
for argument; do
  shift
  case $argument in
    --disable-features=*) features=${{argument#*=}},$features ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {program} --disable-features="$features" "$@"
"""
UNWANTED_DEFAULTS = (
    # Playwright lets pages open windows without a click; each would start a renderer.
    "--disable-popup-blocking",
    # Playwright lifts the limit of 200 navigations within a document per 10 s: 200,000 `pushState` would block the
    # browser process, and with it every other page, for half a minute.
    "--disable-ipc-flooding-protection",
)


@dataclass(frozen=True, slots=True)
class BrowserBinary:
    """An executable; `source` is `configured`, `playwright` or `system`."""

    path: Path
    headless_shell: bool
    source: str


def find_browser(wanted: Path | None = None) -> BrowserBinary:
    """Return the browser to drive: `wanted` if it is given, else Playwright's, else the system's.

    Raises BrowserUnavailable with the remedy if there is none.
    """
    if wanted is not None:
        path = _real_executable(wanted)
        if path is None:
            raise BrowserUnavailable(f"{wanted} is not a browser that can be run; {INSTALL}.")
        return _binary(path, "configured")
    for binary in candidates():
        return binary
    raise BrowserUnavailable(f"No Chromium was found; {INSTALL}.")


def find_windowed_browser(wanted: Path | None = None) -> BrowserBinary:
    """Return the browser that shows a window: `wanted` if it is given, else the first that is installed.

    Raises BrowserUnavailable with the remedy if there is none.
    """
    found = (find_browser(wanted),) if wanted is not None else candidates()
    for binary in found:
        if not binary.headless_shell:
            return binary
    said = (
        f"{wanted} is a browser without windows"
        if wanted is not None
        else "No browser with windows was found"
    )
    raise BrowserUnavailable(f"{said}; run `playwright install chromium --no-shell`, or install chromium.")


def has_display() -> bool:
    """Return whether a window can be shown: on Linux a display server is named by the environment."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in DISPLAYS)


def environment(folder: Path, *, windowed: bool) -> dict[str, str]:
    """Return the environment of a browser whose home is `folder`; only with a window it knows the display."""
    own = kept(os.environ) | {"HOME": str(folder), "TMPDIR": str(folder)}
    if not windowed:
        return own
    # It is looked for in the home otherwise, which is another one here.
    cookie = {"XAUTHORITY": str(Path.home() / ".Xauthority")}
    return cookie | {name: os.environ[name] for name in OF_DISPLAYS if os.environ.get(name)} | own


def candidates() -> Iterator[BrowserBinary]:
    """Yield every installed browser, the preferred one first."""
    for path in _playwright_paths():
        if _is_executable(path):
            yield _binary(path, "playwright")
    for name in SYSTEM_NAMES:
        on_path = shutil.which(name)
        found = _real_executable(Path(on_path)) if on_path else None
        if found is not None:
            yield _binary(found, "system")


def _binary(path: Path, source: str) -> BrowserBinary:
    return BrowserBinary(path, "headless" in path.name, source)


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _real_executable(path: Path) -> Path | None:
    """Return the executable itself, or the one that a launcher script starts; None if there is none."""
    if not _is_executable(path):
        return None
    with path.open("rb") as file:
        head = file.read(SCRIPT_HEAD_BYTES)
    if not head.startswith(b"#!"):
        return path.resolve()
    named = [Path(os.fsdecode(word)) for word in re.findall(rb"/[\w./-]+", head)]
    inside = [path for path in named if "chrom" in path.name or "headless_shell" in path.name]
    for program in (*inside, DEBIAN_FOLDER / path.name):
        if program != path and _is_executable(program) and not _is_script(program):
            return program.resolve()
    return None


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _playwright_paths() -> Iterator[Path]:
    """Yield the paths of this Playwright version's own browsers, headless shell first."""
    listing = Path(getfile(playwright)).parent / "driver" / "package" / "browsers.json"
    revisions = {b["name"]: b["revision"] for b in json.loads(listing.read_text())["browsers"]}
    root = _playwright_folder()
    for name in ("chromium-headless-shell", "chromium"):
        if name in revisions:
            folder = root / f"{name.replace('-', '_')}-{revisions[name]}"
            yield from sorted(folder.glob("*/*headless*shell")) + sorted(folder.glob("*/chrome"))
            yield from sorted(folder.glob("*/*.app/Contents/MacOS/*"))


def _playwright_folder() -> Path:
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if configured and configured != "0":
        return Path(configured)
    if configured == "0":
        return Path(getfile(playwright)).parent / "driver" / "package" / ".local-browsers"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ms-playwright"


def why_without_sandbox() -> str:
    """Return why Chromium must run without its sandbox, with the remedy; "" if it can use it."""
    if os.geteuid() == 0:
        return "it does not work for root; run as another user"
    if sandbox_is_refused():
        return f"the kernel refuses it; {ALLOW_NAMESPACES}"
    return ""


def sandbox_is_refused() -> bool:
    """Return whether the kernel refuses the namespaces, and there is no set-user-id sandbox; False if unknown."""
    if sys.platform != "linux" or any(_is_set_uid(Path(path)) for path in SET_UID):
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-IS", "-c", PROBE],
            check=False,
            timeout=PROBE_DEADLINE_S,
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


def launch_arguments(
    heap_mib: int = 0, *, frames_on_demand: bool, images: bool = True, windowed: bool = False
) -> list[str]:
    """Return the arguments that the farm adds to Playwright's.

    `heap_mib` bounds V8's heaps; 0 sets no bound. Only the headless shell supports `frames_on_demand`.
    """
    heap = [f"--js-flags=--max-old-space-size={heap_mib}"] if heap_mib else []
    chosen = [*(FRAMES_ON_DEMAND if frames_on_demand else ()), *(() if images else NO_IMAGES)]
    chosen += WINDOWED if windowed else ()
    return [*EGRESS, *FRUGAL, *heap, *chosen]


def write_launcher(folder: Path, program: Path) -> Path:
    """Write the browser's launcher script into the engine's folder; return its path."""
    launcher = folder / "browser"
    launcher.write_text(
        LAUNCHER.format(features=",".join(UNWANTED_FEATURES), program=shlex.quote(str(program)))
    )
    launcher.chmod(0o700)
    return launcher

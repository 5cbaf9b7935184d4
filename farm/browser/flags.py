"""Chromium's command line: all traffic goes through the gateway, and what a crawl does not need is off.

Chromium heeds only the last `--disable-features`, and Playwright passes one whose value changes with every
version. So a launcher script merges the farm's with Playwright's.
"""

import shlex
from pathlib import Path

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
FRAMES_ON_DEMAND = (
    # Frames are made on request only: painting unseen frames is a sixth of a page's CPU.
    "--enable-begin-frame-control",
    "--run-all-compositor-stages-before-draw",
    # In the compositor an animation would begin with what is drawn, which is nothing.
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


def launch_arguments(heap_mib: int = 0, *, frames_on_demand: bool, images: bool = True) -> list[str]:
    """Return the arguments that the farm adds to Playwright's.

    `heap_mib` bounds V8's heaps; 0 sets no bound. Only the headless shell supports `frames_on_demand`.
    """
    heap = [f"--js-flags=--max-old-space-size={heap_mib}"] if heap_mib else []
    chosen = [*(FRAMES_ON_DEMAND if frames_on_demand else ()), *(() if images else NO_IMAGES)]
    return [*EGRESS, *FRUGAL, *heap, *chosen]


def write_launcher(folder: Path, program: Path) -> Path:
    """Write the browser's launcher script into the engine's folder; return its path."""
    launcher = folder / "browser"
    launcher.write_text(
        LAUNCHER.format(features=",".join(UNWANTED_FEATURES), program=shlex.quote(str(program)))
    )
    launcher.chmod(0o700)
    return launcher

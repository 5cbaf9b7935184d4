"""How Chromium is started: what is switched off so that nothing leaves but through the gateway.

Of two `--disable-features` Chromium heeds the last, and Playwright passes one, which is longer with every version:
the browser is started by a program that puts the two together.
"""

import shlex
from pathlib import Path

NOWHERE = "http://127.0.0.1:9"
"""The engine's own proxy, the discard port: a context that is given no slot proxy reaches nothing."""

EGRESS = (
    # The gateway resolves; a name that Chromium looked up by itself would be a way around the guard.
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
    # A profile lives as long as its engine; without a bound its disk cache would grow all that time.
    "--disk-cache-size=33554432",
)
FRAMES_ON_DEMAND = (
    # No frame is made until it is asked for: painting what nobody looks at is a sixth of a page's CPU.
    "--enable-begin-frame-control",
    "--run-all-compositor-stages-before-draw",
    # In the compositor an animation would begin with what is drawn, which is nothing.
    "--disable-threaded-animation",
)
POINTER = "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
"""What Playwright sets by `--blink-settings`, of which the last one counts."""
NO_IMAGES = (
    # Blink leaves images alone: no request, and none of the two events per image that a blocked one costs.
    f"--blink-settings={POINTER},loadsImagesAutomatically=false",
)
UNWANTED_FEATURES = (
    # A view for each document, with a compositor and all that hangs on it in two processes: between pages of one
    # site nobody needs that, and it is a fifth of what a page costs the browser.
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
    # Playwright lets every page open windows without a click; each would be a renderer to start and close.
    "--disable-popup-blocking",
    # And lets it navigate within its document as often as it likes: two hundred thousand `pushState` keep the
    # browser's own process, and with it every other page, for half a minute. By itself it takes 200 in 10 s.
    "--disable-ipc-flooding-protection",
)


def launch_arguments(heap_mib: int = 0, *, frames_on_demand: bool, images: bool = True) -> list[str]:
    """Return what the farm adds to Playwright's own arguments.

    `heap_mib` bounds V8's heaps, 0 does not. Only the headless shell has frames on demand.
    """
    heap = [f"--js-flags=--max-old-space-size={heap_mib}"] if heap_mib else []
    chosen = [*(FRAMES_ON_DEMAND if frames_on_demand else ()), *(() if images else NO_IMAGES)]
    return [*EGRESS, *FRUGAL, *heap, *chosen]


def write_launcher(folder: Path, program: Path) -> Path:
    """Write into the engine's folder what Playwright starts as the browser; return its path."""
    launcher = folder / "browser"
    launcher.write_text(
        LAUNCHER.format(features=",".join(UNWANTED_FEATURES), program=shlex.quote(str(program)))
    )
    launcher.chmod(0o700)
    return launcher

"""`make run`: open the demo shop, crawl it with the live view, and print the ledger.

Ends with the farm's own exit code. A signal goes to the farm, which drains; the shop closes after it.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

from fixtures.shop import serve_shop_in_thread

OUTPUT = Path("crawls/demo")
FARM = Path(sys.executable).with_name("farm")
LATENCY_MS = 150  # of a real shop, so that there is something to watch


def crawl(url: str) -> int:
    """Run the farm on the shop, from the start, in the foreground."""
    command = [FARM, "run", url, "--allow-network", "127.0.0.0/8", "--output", OUTPUT, "--fresh"]
    with subprocess.Popen([str(part) for part in command]) as farm:
        # The terminal's own Ctrl-C reaches the farm too; this program only has to outlive it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: farm.terminate())
        return farm.wait()


def report(pages: int) -> None:
    """Print the ledger of the crawl that just ended."""
    try:
        ledger = json.loads((OUTPUT / "summary.json").read_bytes())["ledger"]
    except (OSError, ValueError, KeyError):
        return
    states = ", ".join(f"{count} {state}" for state, count in ledger.items())
    print(f"ledger: {states}; the shop has {pages} pages. Records: {OUTPUT / 'pages.jsonl'}")


def main() -> int:
    """Open, crawl, report."""
    with serve_shop_in_thread(latency_ms=LATENCY_MS) as shop:
        code = crawl(shop.url)
        report(len(shop.oracle.urls))
    return code


if __name__ == "__main__":
    sys.exit(main())

"""The cost of reading pages, also on the event loop: `python -m bench.extraction loop|cost [OPTIONS]`.

`loop` crawls static pages of one megabyte with a declaration of items and Markdown, in turn with parser processes
and with everything read on the event loop: the CPU of the longest turn of the loop's thread, the loop's lag, and
pages a second. Both run on asyncio's own loop, which measures itself. `cost` compares a run with each of the
options that read pages with one that has none, in pairs, and what the output folder has of a page more.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from bench.against import Run, summary
from bench.subjects import FARM, ROOT, subjects
from bench.trial import tried
from bench.workloads import PAGES, workload
from farm.browser.chromium import find_browser
from fixtures.sites import Answer, served

RUN_S = 550.0
HTML_BYTES = 1_000_000
CARD = (
    '<div class="card"><h2><a href="/shelf/{link}">Card {number}</a></h2><p class="price">€{number}.00</p>'
    "<p>A line of text about what the card shows, with <b>some</b> markup.</p></div>"
)
DECLARED = """
[item.card]
each = ".card"
[item.card.fields]
name = { css = "h2", required = true }
price = { css = ".price", type = "price" }
link = { css = "h2 a", type = "url" }
"""
BENCH_CARD = DECLARED.replace('".price"', '"p"')
CAPTURED = (
    DECLARED.replace('each = ".card"', 'each = { capture = "/api/*", path = "items[*]" }').partition(
        "[item.card.fields]"
    )[0]
    + '[item.card.fields]\nname = { path = "name" }\nprice = { path = "price", type = "price" }\n'
)
COSTS: Mapping[str, str] = {
    "fields": "--extract {css}",
    "captured fields": "--extract {captured}",
    "markdown": "--markdown",
    "main text": "--main-text",
    "capture": "--capture json",
    "har": "--har",
}


@dataclass(frozen=True, slots=True)
class Loop:
    """What a run has said of its event loop."""

    longest_turn_ms: float
    lag_p99_ms: float
    lag_longest_ms: float
    pages_per_s: float


def loop(options: argparse.Namespace) -> int:
    """Crawl with and without parser processes, in turn, and print a table."""
    head = f"{'run':>4}{'parsers':>11}{'longest turn':>14}{'lag p99':>9}{'longest':>9}{'pages/s':>9}"
    print(f"{options.contexts} contexts, pages of {options.bytes:,} bytes; ms of CPU, ms, pages/s\n{head}")
    found: dict[str, list[Loop]] = {"processes": [], "loop": []}
    with _serving(options.pages, options.bytes) as origin:
        for number in range(options.rounds):
            for kind in sorted(found, reverse=number % 2 == 0):
                one = _looped(f"{origin}/shelf/0", kind, options)
                found[kind].append(one)
                print(
                    f"{number + 1:4}{kind:>11}{one.longest_turn_ms:14.0f}{one.lag_p99_ms:9.0f}"
                    f"{one.lag_longest_ms:9.0f}{one.pages_per_s:9.1f}",
                    flush=True,
                )
    for kind, runs in found.items():
        turn = statistics.median(one.longest_turn_ms for one in runs)
        lag = statistics.median(one.lag_p99_ms for one in runs)
        pace = statistics.median(one.pages_per_s for one in runs)
        print(
            f"median by {kind}: longest turn {turn:.0f} ms of CPU, lag p99 {lag:.0f} ms, {pace:.1f} pages/s"
        )
    return 0


def _looped(url: str, kind: str, options: argparse.Namespace) -> Loop:
    with tempfile.TemporaryDirectory(prefix="bench-extraction-") as name:
        folder = Path(name)
        (folder / "cards.toml").write_text(DECLARED)
        command = [sys.executable, "-m", "bench.extraction", "--farm", kind, str(folder / "turn")]
        command += ["run", url, "--output", str(folder / "out"), "--contexts", str(options.contexts)]
        command += [
            "--ramp-up",
            "0s",
            "--limit",
            str(options.pages),
            "--live",
            "off",
            "--log-level",
            "warning",
        ]
        command += ["--extract", str(folder / "cards.toml"), "--markdown", "--allow-network", "127.0.0.0/8"]
        command += ["--page-timeout", "5m", "--rate", "1000/s", "--site-concurrency", str(options.contexts)]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
        if not (folder / "out/summary.json").exists():
            raise SystemExit(f"the run by {kind} failed:\n{done.stdout}{done.stderr}")
        said = json.loads((folder / "out/summary.json").read_text())
        turn_s = float((folder / "turn").read_text())
        lag = said["loop_lag_ms"]
        return Loop(1000 * turn_s, lag["p99"], lag["longest"], said["pages_per_s"])


@contextlib.contextmanager
def _serving(pages: int, size: int) -> Iterator[str]:
    """Serve pages that link to one another, from a thread; return their origin."""
    per_page = max(1, size // len(CARD))

    def answer(path: str, _headers: Message) -> Answer:
        if not path.startswith("/shelf/"):
            return Answer(status=404)
        number = int("0" + "".join(filter(str.isdigit, path)))
        cards = "".join(CARD.format(number=n, link=(number * 7 + n) % pages) for n in range(per_page))
        html = f'<!doctype html><html lang="en"><title>Shelf {number}</title><body>{cards}</body></html>'
        return Answer(html.encode(), content_type="text/html; charset=utf-8")

    with served(answer, keeps_open=True) as origin:
        yield origin


def run_farm(kind: str, report: Path, arguments: list[str]) -> int:
    """Run the farm on a loop that measures its turns; by `loop` everything is read on it. Writes the longest."""
    import uvloop

    from farm.cli.main import main as farm
    from farm.extract import parser_pool
    from farm.extract.parser_process import answer
    from tests.longest_turn import MeasuredLoop

    loops: list[MeasuredLoop] = []

    def new_event_loop() -> MeasuredLoop:
        loops.append(MeasuredLoop())
        return loops[-1]

    async def here(_: Any, job: str, given: Mapping[str, Any], *texts: str) -> Any:
        made = answer(job, json.loads(json.dumps(given)), [text.encode("utf-8", "replace") for text in texts])
        return json.loads(json.dumps(made))

    uvloop.new_event_loop = new_event_loop  # type: ignore[assignment]
    if kind == "loop":
        parser_pool.ParserPool.run = here  # type: ignore[method-assign, assignment]
    try:
        return farm(arguments)
    finally:
        report.write_text(str(max((one.longest_s for one in loops), default=0.0)))


def cost(options: argparse.Namespace) -> int:
    """Compare runs with each option with runs without any, and print ratios and bytes."""
    names = options.only or tuple(COSTS)
    with tempfile.TemporaryDirectory(prefix="bench-extraction-") as name:
        files = {"css": Path(name) / "css.toml", "captured": Path(name) / "captured.toml"}
        files["css"].write_text(BENCH_CARD)
        files["captured"].write_text(CAPTURED)
        given = {one: COSTS[one].format(**files) for one in names}
        plain = _bytes_per_page("", options)
        extra = ("--contexts", str(options.contexts), "--until-end")
        print(f"{options.workload}: own ms of CPU a page (Python with its parsers, Node, Redis), in pairs")
        for one, arguments in given.items():
            runs = [Run(ROOT, options.workload, options.pages, text, extra) for text in ("", arguments)]
            own: list[tuple[float, float]] = []
            for number in range(options.rounds):
                order = (0, 1) if number % 2 == 0 else (1, 0)
                ms = {at: runs[at].own_ms() for at in order}
                own.append((ms[0], ms[1]))
            more_ms = statistics.median(now - before for before, now in own)
            more_bytes = _bytes_per_page(arguments, options) - plain
            print(
                f"{one}: {more_ms:+.1f} ms, {more_bytes:+,} bytes a page; "
                f"{summary([now / before for before, now in own], 'with / without')}",
                flush=True,
            )
    return 0


def _bytes_per_page(arguments: str, options: argparse.Namespace) -> int:
    """Return what the output folder has of a page, but for the queue and the log."""
    with tried(
        subjects((FARM,))[0],
        workload(options.workload, options.pages),
        options.contexts,
        find_browser(None).path,
        sandbox=os.geteuid() != 0,
        farm_arguments=tuple(arguments.split()),
        memory=False,
    ) as trial:
        if trial.figures.failure:
            raise SystemExit(trial.figures.failure)
        folder = trial.job.folder / "crawl"
        files = [
            path
            for path in folder.rglob("*")
            if path.is_file() and ".farm" not in path.parts and path.suffix != ".log"
        ]
        return sum(path.stat().st_size for path in files) // max(1, trial.figures.pages)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--farm"]:
        return run_farm(given[1], Path(given[2]), given[3:])
    options = _options(given)
    return loop(options) if options.what == "loop" else cost(options)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.extraction", description="What reading pages costs."
    )
    parser.add_argument("what", choices=("loop", "cost"))
    parser.add_argument("--contexts", type=int, metavar="N", help="[40 for loop, 8 for cost]")
    parser.add_argument("--pages", type=int, metavar="N", help="pages a run [160]")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="runs of each [4]")
    parser.add_argument(
        "--bytes", type=int, default=HTML_BYTES, metavar="N", help="of a page of `loop` [1000000]"
    )
    parser.add_argument("--workload", default="one", choices=PAGES, help="of `cost` [one]")
    parser.add_argument("--only", action="append", choices=COSTS, help="of `cost`, repeatable [all]")
    options = parser.parse_args(arguments)
    options.contexts = options.contexts or (40 if options.what == "loop" else 8)
    options.pages = options.pages or 160
    return options


if __name__ == "__main__":
    sys.exit(main())

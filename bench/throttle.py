"""Politeness as sites see it: real farms against sites with a hidden capacity, judged by the sites' own journal.

    python -m bench.throttle [SHOW...]      rate shares hidden learn busy refusal knee block [all of them]

Every show prints its figures and whether they are within bounds, and writes them to `bench-results/throttle.json`.
The exit code is 1 if one is not.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import psutil

from bench.subjects import ROOT
from fixtures.origin import Arrival, Origin, serve_origin

RESULTS = Path("bench-results")
STOP_S = 30.0
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of a show, with its lower and upper bound."""

    show: str
    what: str
    measured: float
    least: float = 0.0
    most: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether it is within its bounds."""
        return self.least <= self.measured <= self.most

    def line(self) -> str:
        """Return it as a line of the table."""
        mark = "ok  " if self.holds else "FAIL"
        wanted = f"at least {self.least:g}" if self.least else ""
        wanted += f"{', ' if self.least else ''}at most {self.most:g}" if self.most < math.inf else ""
        return f"{mark} {self.show:<7} {self.what:<58} {self.measured:>9.3f}  {wanted}"


@contextmanager
def farms(count: int, origin: Origin, *flags: str, contexts: int) -> Iterator[None]:
    """Run `count` farms on one crawl of all sites until the context ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="throttle-")))
        shared: tuple[str, ...] = ()
        if count > 1:
            address = folder / "redis.sock"
            server = subprocess.Popen(
                [
                    "redis-server",
                    "--port",
                    "0",
                    "--unixsocket",
                    str(address),
                    "--save",
                    "",
                    "--dir",
                    str(folder),
                ],
                stdout=subprocess.DEVNULL,
            )
            stack.callback(_end, server)
            _until(address.exists, "Redis")
            shared = ("--redis", f"unix://{address}", "--crawl", "throttle")
        for number in range(count):
            command = [sys.executable, "-m", "farm.cli.main", "run", *origin.urls, *shared, *flags]
            command += [
                "--contexts",
                str(contexts),
                "--ramp-up",
                "1s",
                "--live",
                "off",
                "--no-html",
                "--no-text",
            ]
            command += ["--allow-network", "127.0.0.0/8", "--output", str(folder / f"out{number}")]
            log = stack.enter_context((folder / f"log{number}").open("w"))
            farm = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            stack.callback(_end, farm)
        _until(lambda: bool(origin.arrivals), "a first page")
        yield


def _end(started: "subprocess.Popen[bytes]") -> None:
    started.terminate()
    try:
        started.wait(STOP_S)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _until(holds: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {within_s:g} s")
        time.sleep(0.05)


def _answered(arrivals: list[Arrival]) -> list[Arrival]:
    return [one for one in arrivals if one.status == HTTPStatus.OK]


def _refused(arrivals: list[Arrival]) -> float:
    return sum(one.status == HTTPStatus.TOO_MANY_REQUESTS for one in arrivals) / max(1, len(arrivals))


def _most_in_a_second(arrivals: list[Arrival]) -> int:
    times = [one.at for one in arrivals]
    return max(bisect_left(times, at + 1) - number for number, at in enumerate(times))


def show_rate(seconds: float = 40) -> Iterator[Finding]:
    """Visit one site by three farms, five times a second and four at once."""
    with serve_origin(latency_s=0.3) as origin:
        with farms(3, origin, "--rate", "5/s", "--site-concurrency", "4", contexts=3):
            time.sleep(seconds)
        arrivals = origin.arrivals
    spent = arrivals[-1].at - arrivals[0].at
    yield Finding("rate", "pages in the fullest second", _most_in_a_second(arrivals), most=6)
    yield Finding("rate", "pages in flight at once", max(one.in_flight for one in arrivals), most=4)
    yield Finding("rate", "pages a second", (len(arrivals) - 1) / spent, least=4, most=5)


def show_shares(seconds: float = 120) -> Iterator[Finding]:
    """Visit twenty sites by three farms: each gets as much as any other."""
    with serve_origin(20, latency_s=0.1) as origin:
        with farms(3, origin, "--rate", "5/s", "--site-concurrency", "4", contexts=4):
            time.sleep(seconds)
        arrivals = origin.arrivals
        fullest = max(_most_in_a_second(origin.between(0, math.inf, host)) for host in origin.bears)
    counts = Counter(one.site for one in arrivals)
    mean = len(arrivals) / len(origin.bears)
    off = max(abs(counts[host] - mean) / mean for host in origin.bears)
    yield Finding("shares", f"of {mean:.0f} pages a site, the furthest from the mean", off, most=0.1)
    yield Finding("shares", "pages of one site in the fullest second", fullest, most=6)


def show_hidden(limit: float = 12.0) -> Iterator[Finding]:
    """Visit a site with a hidden capacity of twelve pages a second; then six; then twelve again."""
    with serve_origin(latency_s=0.2) as origin:
        (bears,) = origin.bears.values()
        bears.per_s = limit
        with farms(1, origin, contexts=12):
            begun = origin.arrivals[0].at

            def span(first: float, last: float) -> tuple[float, float]:
                time.sleep(max(0.0, begun + last - time.monotonic()))
                arrivals = origin.between(begun + first, begun + last)
                return len(_answered(arrivals)) / (last - first), _refused(arrivals)

            per_s, refused = span(60, 110)
            yield Finding("hidden", "share of 12/s that is used after 60 s", per_s / limit, 0.8, 1.02)
            yield Finding("hidden", "share of 429 after 60 s", refused, most=0.02)
            bears.per_s = limit / 2
            per_s, refused = span(125, 165)
            yield Finding("hidden", "halved: share of 429 after 15 s", refused, most=0.02)
            yield Finding("hidden", "halved: share of 6/s that is used", 2 * per_s / limit, 0.7, 1.02)
            bears.per_s = limit
            per_s, refused = span(225, 250)
            yield Finding(
                "hidden", "doubled: share of 12/s that is used after 60 s", per_s / limit, 0.8, 1.02
            )


def show_learn(limit: int = 6, pages: int = 260, runs: int = 5) -> Iterator[Finding]:
    """Crawl 260 pages of a site that refuses above six in any one second, its limit unknown at the start."""
    crawls = [_crawled(limit, pages) for _ in range(runs)]
    used, refused, _ = (statistics.median(values) for values in zip(*crawls, strict=True))
    yield Finding("learn", f"share of {limit}/s that is used, from the first page on", used, 0.75, 1.02)
    yield Finding("learn", "share of 429", refused, most=0.02)


def show_busy(limit: int = 6, pages: int = 260, runs: int = 5) -> Iterator[Finding]:
    """Crawl the same, in turn alone and beside two busy loops: the machine's slowness is not the site's."""
    ratios, longest = [], []
    for _ in range(runs):
        alone, _, _ = _crawled(limit, pages)
        loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
        try:
            beside, _, gap_s = _crawled(limit, pages)
        finally:
            for loop in loops:
                _end(loop)
        ratios.append(alone / beside)
        longest.append(gap_s)
    yield Finding("busy", "time beside two busy loops, by that alone", statistics.median(ratios), most=1.3)
    yield Finding("busy", "seconds of the slowest ten pages in a row", statistics.median(longest), most=10)


def _crawled(limit: int, pages: int) -> tuple[float, float, float]:
    """Return the share of the limit that is used, the share of 429, and the seconds of the slowest ten pages."""
    with serve_origin(latency_s=0.2) as origin:
        (bears,) = origin.bears.values()
        bears.in_a_second, bears.retry_after_s = limit, 2
        with farms(1, origin, contexts=8):
            _until(lambda: len(_answered(origin.arrivals)) >= pages, "the last page", 600)
        arrivals = origin.arrivals
    answered = sorted(one.ended_at for one in _answered(arrivals))[:pages]
    until = [one for one in arrivals if one.at <= answered[-1]]
    slowest = max(later - at for at, later in zip(answered, answered[10:], strict=False))
    return pages / (answered[-1] - arrivals[0].at) / limit, _refused(until), slowest


def show_refusal(times: int = 5, retry_after_s: int = 3) -> Iterator[Finding]:
    """Visit a site that sends 429 now and then, by two farms: no request arrives before its Retry-After."""
    with serve_origin(latency_s=0.1) as origin:
        (bears,) = origin.bears.values()
        bears.retry_after_s = retry_after_s
        with farms(2, origin, contexts=4):
            for _ in range(times):
                time.sleep(2 * retry_after_s)
                bears.refuses_next = True
            time.sleep(2 * retry_after_s)
        arrivals = origin.arrivals
    late, came = 0.0, 0
    for one in arrivals:
        if one.status == HTTPStatus.TOO_MANY_REQUESTS:
            until = one.ended_at + retry_after_s - 0.1
            after = [other.at - one.ended_at for other in arrivals if one.ended_at < other.at < until]
            late, came = max([late, *after]), max(came, len(after))
    yield Finding("refusal", "seconds after a 429 until the last page came", late, most=0.5)
    yield Finding("refusal", "pages that came in them, at most", came, most=8)


def show_knee(knee: int = 6, latency_s: float = 0.4) -> Iterator[Finding]:
    """Visit a site that becomes slower beyond six at once."""
    with serve_origin(latency_s=latency_s) as origin:
        (bears,) = origin.bears.values()
        bears.knee = knee
        with farms(1, origin, contexts=16):
            time.sleep(60)
            first = time.monotonic()
            time.sleep(60)
            arrivals = _answered(origin.between(first, time.monotonic() - 2))
    in_flight = sorted(one.in_flight for one in arrivals)[len(arrivals) // 2]
    yield Finding("knee", "places in flight, as a share of the knee's", in_flight / knee, 0.75, 1.25)
    took = sorted(one.ended_at - one.at for one in arrivals)
    slow = took[len(took) * 95 // 100] / took[len(took) // 50]
    yield Finding("knee", "p95 of the latency, by the baseline", slow, most=1.5)


def show_block(seconds: float = 40) -> Iterator[Finding]:
    """Visit twenty sites of which one sends 429 to everything: the others are not affected."""
    rates, asked = [], 0
    for closed in (False, True):
        with serve_origin(20, latency_s=0.1) as origin, farms(1, origin, contexts=8):
            site = next(iter(origin.bears))
            origin.bears[site].closed, origin.bears[site].retry_after_s = closed, 5
            time.sleep(10)
            first = time.monotonic()
            time.sleep(seconds)
            last = time.monotonic()
            others = [one for one in _answered(origin.between(first, last)) if one.site != site]
            asked = len(origin.between(first, last, site))
        rates.append(len(others) / seconds)
    yield Finding("block", "pages/s of 19 sites, the 20th open", rates[0])
    yield Finding("block", "the same with the 20th blocked, as a share", rates[1] / rates[0], least=0.95)
    yield Finding("block", "visits to the blocked one meanwhile", asked, most=seconds / 5 + 2)


SHOWS: dict[str, Callable[[], Iterator[Finding]]] = {
    "rate": show_rate,
    "shares": show_shares,
    "hidden": show_hidden,
    "learn": show_learn,
    "busy": show_busy,
    "refusal": show_refusal,
    "knee": show_knee,
    "block": show_block,
}


def main() -> int:
    """Run the shows; return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.throttle", description=__doc__.splitlines()[0])
    parser.add_argument("shows", nargs="*", metavar="SHOW", help=", ".join(SHOWS))
    names = parser.parse_args().shows or list(SHOWS)
    if unknown := set(names) - SHOWS.keys():
        parser.error(f"{unknown.pop()} is none of {', '.join(SHOWS)}")
    findings: list[Finding] = []
    load = psutil.getloadavg()[0]
    print(f"{psutil.cpu_count()} cores, load {load:.2f} before")
    for name in names:
        for finding in SHOWS[name]():
            findings.append(finding)
            print(finding.line(), flush=True)
    RESULTS.mkdir(exist_ok=True)
    told = {
        "load_before": load,
        "findings": [{**asdict(one), "most": min(one.most, 1e9), "holds": one.holds} for one in findings],
    }
    (RESULTS / "throttle.json").write_text(json.dumps(told, indent=2) + "\n")
    return 0 if all(finding.holds for finding in findings) else 1


if __name__ == "__main__":
    raise SystemExit(main())

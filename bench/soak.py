"""A long crawl of hostile, leaking pages: does the pool keep its guarantees? `python -m bench.soak`, `make soak`.

Forty contexts on a shop whose every page leaks, with a share of all the pages that hang, crash, loop or allocate
without end. The whole process tree is measured from outside. It prints the peak memory and the budget, the pages a
second of the first and the last third, the ledger, and the processes, descriptors and temporary files left at the
end; JSON and a chart are written to `bench-results/`. `SOAK=24h` makes it long.

    --kill-every 5     SIGKILL a random browser, driver or renderer every 5 s
    --hostile 0        without hostile pages
    --rest 100         then pause the crawl for 100 s, and measure the idle farm
    --beside /faults/hang/page     have this page open all the time, in one of the contexts
    --compare          first the same without kills and without that page; print the difference
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from bench import soakchart
from bench.soakjudge import compare, judge, pace, visits
from bench.subjects import ROOT
from bench.watch import kind_of
from farm.resources import processes
from farm.settings.units import parse_duration, parse_memory

MIB = 2**20
SAMPLE_EVERY_S = 2.0
PATIENCE_S = 180.0
REST_AFTER = 0.8
"""Of the time: there must be work left to be paused."""
AT_ONCE = 8
"""How many visits to a site the farm begins with; the soak is not about what it learns of a site."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The farm's process tree at one moment; `at` is in seconds from the start."""

    at: float
    pss_mib: float
    processes: int
    renderers: int
    renderers_mib: float
    fds: int
    cpu_s: float
    cpu_by_kind: dict[str, float] = field(default_factory=dict)


@dataclass
class Soak:
    """The measurements; `left` are processes and folders that outlived the farm."""

    options: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    limits: list[tuple[float, int, str]] = field(default_factory=list)
    visits_ms: list[int] = field(default_factory=list)
    readings: list[tuple[float, float, float, float]] = field(default_factory=list)
    """The farm's own: when, MiB in all, MiB known to be contexts' own, CPU seconds of its meter so far."""
    rested: tuple[float, float] = (0.0, 0.0)
    kills: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    left: list[str] = field(default_factory=list)
    code: int | None = None
    load: tuple[float, float] = (0.0, 0.0)


def main(arguments: list[str] | None = None) -> int:
    """Soak and print; return 1 if a guarantee was broken."""
    options = _options(arguments)
    calm = None
    if options.compare:
        undisturbed = argparse.Namespace(**{**vars(options), "kill_every": 0.0, "beside": ""})
        calm = _run_in_a_folder(undisturbed)
        print(f"undisturbed: {pace(calm, options)}, {visits(calm)}")
    soak = _run_in_a_folder(options)
    figures = judge(soak, options)
    if calm is not None:
        figures["to the undisturbed"] = compare(calm, soak, options)
    for name, value in figures.items():
        print(f"{name:34}{value}")
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    path = results / f"soak-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({"figures": figures, **asdict(soak), "log": ""}, indent=1, default=str))
    path.with_suffix(".svg").write_text(soakchart.draw(soak, parse_memory(options.memory).of(0) / MIB))
    path.with_suffix(".log").write_text(soak.log)
    print(f"\n{path}\n{path.with_suffix('.svg')}\n{path.with_suffix('.log')}")
    return 0 if figures["verdict"] == "kept" else 1


def _run_in_a_folder(options: argparse.Namespace) -> Soak:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return run(options, Path(folder))


def run(options: argparse.Namespace, folder: Path) -> Soak:
    """Serve the shop, run the farm, watch it to its end."""
    soak = Soak(vars(options), load=(os.getloadavg()[0], 0.0))
    seconds = parse_duration(options.time)
    shop = subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.soakshop", f"{seconds}"),
            *("--hostile", f"{options.hostile}", "--leak-mb", f"{options.leak_mb}"),
            *("--sites", f"{-(-options.contexts // AT_ONCE)}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if shop.stdout is None:
        raise AssertionError("its output was asked for")
    sites = shop.stdout.readline().split()
    temporary = folder / "tmp"
    temporary.mkdir()
    began_wall = time.time()
    began = time.monotonic()
    with (folder / "output.log").open("wb") as output:
        environment = {**os.environ, "TMPDIR": str(temporary)}
        command = _command(options, sites, folder)
        farm = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    seen: dict[int, psutil.Process] = {}
    try:
        if options.rest:
            _watch(soak, farm, seen, began, REST_AFTER * seconds, options)
            _tell(folder, "pause")
            soak.rested = (time.monotonic() - began, 0.0)
            _watch(soak, farm, seen, began, soak.rested[0] + options.rest, options)
            soak.rested = (soak.rested[0], time.monotonic() - began)
            _tell(folder, "resume")
        _watch(soak, farm, seen, began, seconds + PATIENCE_S + options.rest, options)
        with urlopen(f"{sites[0]}/soak-arrivals") as answer:  # noqa: S310 - our own server
            soak.arrivals = [round(at - began, 3) for at in json.load(answer)]
    finally:
        if farm.poll() is None:
            farm.terminate()
            farm.wait()
        shop.terminate()
        shop.wait()
    soak.code = farm.returncode
    if soak.code != 0:
        print((folder / "output.log").read_text(errors="replace")[-4000:], file=sys.stderr)
    soak.load = (soak.load[0], os.getloadavg()[0])
    _read_output(soak, folder / "out", began_wall)
    _, living = psutil.wait_procs(list(seen.values()), timeout=10)
    soak.left = [f"{one.pid} {one.name()}" for one in living if one.status() != psutil.STATUS_ZOMBIE]
    soak.left += [str(path) for path in temporary.iterdir()]
    return soak


def _tell(folder: Path, command: str) -> None:
    """Pause or resume the crawl."""
    told = [sys.executable, "-m", "farm.cli.main", command, "--output", str(folder / "out")]
    subprocess.run(told, check=True, stdout=subprocess.DEVNULL)


def _command(options: argparse.Namespace, sites: list[str], folder: Path) -> list[str]:
    given = {
        "contexts": options.contexts,
        "memory": options.memory,
        "ramp-up": options.ramp_up,
        "page-timeout": f"{_page_timeout_s(options)}s",
        "settle-timeout": "3s",
        "retries": options.retries,
        "allow-network": "127.0.0.0/8",
        "output": folder / "out",
        "live": "off",
        "log-level": "debug",
        "log-format": "json",
    }
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    more = options.farm_arguments.split()
    seeds = [f"{sites[0]}/soak/1", *(f"{site}/about" for site in sites)]
    if options.beside:
        seeds.append(sites[-1] + options.beside)
    return [sys.executable, "-m", "farm.cli.main", "run", *seeds, "--no-html", *flags, *more]


def _page_timeout_s(options: argparse.Namespace) -> float:
    """Return the deadline of a page; one that is to be there all the time must not meet it before the end."""
    whole_s = parse_duration(options.time) * 1.2 if options.beside else 0.0
    return float(max(parse_duration(options.page_timeout), whole_s))


def _watch(
    soak: Soak,
    farm: subprocess.Popen[bytes],
    seen: dict[int, psutil.Process],
    began: float,
    patience_s: float,
    options: argparse.Namespace,
) -> None:
    """Sample until the farm ends; kill something now and then if that is wanted."""
    chance = random.Random(options.seed)  # noqa: S311 - a choice of victims
    kill_at = max(began + 20.0, time.monotonic())
    while farm.poll() is None and time.monotonic() - began < patience_s:
        pids = [farm.pid, *processes.descendants(farm.pid)]
        renderers = [pid for pid in pids if processes.is_renderer(pid)]
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                seen.setdefault(pid, psutil.Process(pid))
        soak.samples.append(_sample(farm.pid, pids, set(renderers), began))
        if options.kill_every and time.monotonic() >= kill_at:
            kill_at += options.kill_every
            kind = chance.choice(("browser", "driver", "renderer"))
            victims = {"renderer": renderers}.get(kind) or [pid for pid in pids if _kind(pid) == kind]
            if victims:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                soak.kills[kind] = soak.kills.get(kind, 0) + 1
        with suppress(subprocess.TimeoutExpired):
            farm.wait(SAMPLE_EVERY_S)


def _sample(farm: int, pids: list[int], renderers: set[int], began: float) -> Sample:
    pss, fds, of_renderers = 0.0, 0, 0.0
    kinds: dict[str, float] = {}
    for pid in pids:
        with suppress(OSError, psutil.Error):
            mib = processes.pss_bytes(pid) / MIB
            pss += mib
            of_renderers += mib if pid in renderers else 0.0
            process = psutil.Process(pid)
            times, kind = process.cpu_times(), "farm" if pid == farm else kind_of(process) or "other"
            kinds[kind] = kinds.get(kind, 0.0) + times.user + times.system
            if pid == farm:
                fds = process.num_fds()
    at, cpu_s = round(time.monotonic() - began, 2), round(sum(kinds.values()), 2)
    return Sample(at, round(pss, 1), len(pids), len(renderers), round(of_renderers, 1), fds, cpu_s, kinds)


def _kind(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if any(part.endswith(b"/node") for part in line[:1]):
        return "driver"
    is_browser = b"--remote-debugging-pipe" in line and not any(part.startswith(b"--type=") for part in line)
    return "browser" if is_browser else ""


def _read_output(soak: Soak, folder: Path, began_wall: float) -> None:
    """Take what the farm itself wrote of its run."""
    with suppress(OSError):
        soak.summary = json.loads((folder / "summary.json").read_text())
        soak.summary.pop("settings", None)
    with suppress(OSError), (folder / "pages.jsonl").open() as lines:
        for line in lines:
            record = json.loads(line)
            at = datetime.fromisoformat(record["fetched_at"]).timestamp()
            soak.pages.append(round(at - began_wall, 2))
            soak.visits_ms.append(record["timings_ms"]["total"])
    for path in sorted(folder.glob("farm.log*"), reverse=True):
        with path.open() as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["level"] != "debug":
                    soak.log += line
                at = round(datetime.fromisoformat(entry["at"]).timestamp() - began_wall, 2)
                if "binding" in entry:
                    soak.limits.append((at, entry["limit"], entry["binding"]))
                if "meter_cpu_s" in entry:
                    mib = entry["used_bytes"] / MIB, entry["attributed_bytes"] / MIB
                    soak.readings.append((at, *mib, entry["meter_cpu_s"]))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--time", default=os.environ.get("SOAK", "10m"), metavar="TIME")
    parser.add_argument("--contexts", type=int, default=40, metavar="N")
    parser.add_argument("--memory", default="3GiB", metavar="SIZE")
    parser.add_argument("--ramp-up", default="10s", metavar="TIME")
    parser.add_argument("--hostile", type=float, default=0.05, metavar="SHARE")
    parser.add_argument("--leak-mb", type=float, default=5.0, metavar="MB")
    parser.add_argument("--page-timeout", default="20s", metavar="TIME")
    parser.add_argument("--retries", type=int, default=1, metavar="N")
    parser.add_argument("--kill-every", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--rest", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--beside", default="", metavar="PATH")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--farm-arguments", default="", metavar="TEXT", help="more options of `farm run`")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

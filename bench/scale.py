"""The results of a farm of many nodes, and which limit comes first: `python -m bench.scale`, `make sim`.

Prints the table of `docs/scale.md` and writes `bench-results/scale.json` and `scale.svg`. The costs are those that
were measured: of Redis by `make bench-frontier` (its last results, else `COSTS`), of a page by `make profile`.
`--check` compares the simulation with real runs of one, two and four processes on this machine instead; `--leases`
measures what a lease takes with thousands of contexts on a real Redis.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from bench import frontier
from bench.scalechart import draw
from bench.sim import Simulation
from bench.sim_terms import Costs, Deaths, Load, Outcome, Shape

RESULTS = Path("bench-results")
COSTS = Costs(
    pair_ms=0.038,
    link_ms=0.0022,
    start_ms=0.020,
    idle_ms=0.025,
    tick_ms=0.25,
    trip_ms=0.5,
    python_ms=6.6,
    page_ms=54.3,
    waits_ms=45.0,
    turn_ms=0.33,
    wake_ms=0.7,
)
"""On two cores of a virtual machine; a page is a React page with 142 KB of script and a JSON call."""
PLACES, SPACED = 8, 10
"""Visits at once at a site, and each so manyeth site wants a second between two."""
ONE_REDIS = ", one Redis"
SWEEP_CONTEXTS, SWEEP_CORES, SWEEP_PROCESSES = 40, 8, 1
SWEEP = (5, 10, 20, 40, 60, 80, 100, 140, 200, 280, 400)
SWEEP_MASTERS = (1, 4, 8)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A farm and a crawl, by the name that the table gives it."""

    name: str
    shape: Shape
    load: Load
    deaths: Deaths | None = None


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print, write; or check against real runs. Returns the exit code."""
    options = _options(arguments)
    if options.check:
        from bench.scalecheck import check

        return check(COSTS, options.rounds)
    if options.leases:
        from bench.leases import LeaseLoad, lease_times

        given = {name: getattr(options, name) for name in ("contexts", "nodes", "visit_s", "seconds")}
        lease_times(LeaseLoad(**given, processes=options.jobs))
        return 0
    costs = measured(COSTS)
    began = time.monotonic()
    with Pool(options.jobs) as pool:
        rows_of = [(costs, one, options.visits) for one in scenarios(options.urls)]
        whole = pool.starmap_async(simulated, rows_of, chunksize=1)
        points = pool.starmap_async(simulated, [(costs, one, None) for one in sweep()], chunksize=1)
        outcomes, curves = whole.get(), points.get()
    rows = list(zip(scenarios(options.urls), outcomes, strict=True))
    for line in table(rows):
        print(line)
    print(f"\n{options.urls:,} URLs; simulated in {time.monotonic() - began:.0f} s")
    RESULTS.mkdir(exist_ok=True)
    told = recorded(costs, options.urls, rows, list(zip(sweep(), curves, strict=True)))
    (RESULTS / "scale.json").write_text(json.dumps(told, indent=1))
    (RESULTS / "scale.svg").write_text(charted(told))
    return 0


def recorded(
    costs: Costs,
    urls: int,
    rows: Sequence[tuple[Scenario, Outcome]],
    swept: Sequence[tuple[Scenario, Outcome]],
) -> dict[str, Any]:
    """Return results as they are written down: of the table's rows, and of the chart's curves."""
    return {
        "costs": asdict(costs),
        "urls": urls,
        "scenarios": [{"name": one.name, **_counted(one), **_told(outcome)} for one, outcome in rows],
        "sweep": [{**_counted(one), **_told(outcome)} for one, outcome in swept],
    }


def _counted(scenario: Scenario) -> dict[str, int]:
    shape = scenario.shape
    return {"nodes": shape.nodes, "contexts": shape.nodes * shape.contexts, "masters": shape.masters}


def charted(told: dict[str, Any]) -> str:
    """Return the chart of results as they are written down."""
    curves = {
        masters: [(one["contexts"], one["pages_per_s"]) for one in told["sweep"] if one["masters"] == masters]
        for masters in SWEEP_MASTERS
    }
    marks = [
        (one["contexts"], one["pages_per_s"], one["name"].partition(",")[0])
        for one in told["scenarios"]
        if one["name"].endswith(ONE_REDIS)
    ]
    return draw(curves, marks)


def measured(costs: Costs) -> Costs:
    """Return the costs with those of Redis as the last `make bench-frontier` has measured them here."""
    try:
        rows = {row["name"]: row["value"] for row in json.loads(frontier.RESULTS.read_text())["rows"]}
    except FileNotFoundError:
        return costs
    pair_ms = 1000 / rows["ack + lease, redis-benchmark /s"]
    linked_ms = next(1000 / value for name, value in rows.items() if name.startswith("ack with"))
    return replace(costs, pair_ms=pair_ms, link_ms=(linked_ms - pair_ms) / frontier.LINKS)


def scenarios(urls: int) -> list[Scenario]:
    """Return the rows of the table: so many URLs on a hundredth as many sites."""
    load = Load(urls, max(1, urls // 100), places=PLACES, spaced=SPACED)
    small = Shape(12, 100, 16, processes=2)
    large = Shape(100, 40, 8)
    deaths = Deaths(every_s=60.0, away_s=30.0)
    return [
        Scenario(f"12 x 100{ONE_REDIS}", small, load, deaths),
        Scenario("12 x 100, Cluster of 4", replace(small, masters=4), load, deaths),
        Scenario(f"100 x 40{ONE_REDIS}", large, load, deaths),
        Scenario("100 x 40, Cluster of 4", replace(large, masters=4), load, deaths),
        Scenario("100 x 40, few large sites", large, replace(load, skew=1.0), deaths),
    ]


def sweep() -> list[Scenario]:
    """Return farms of more and more nodes, whose sites never bind."""
    found = []
    for masters in SWEEP_MASTERS:
        for nodes in SWEEP:
            shape = Shape(nodes, SWEEP_CONTEXTS, SWEEP_CORES, SWEEP_PROCESSES, masters)
            slots = nodes * SWEEP_CONTEXTS
            found.append(Scenario("", shape, Load(15 * slots, 2 * slots, skew=0.0, places=PLACES)))
    return found


def simulated(costs: Costs, scenario: Scenario, visits: int | None) -> Outcome:
    """Return what a scenario comes to, by so many of its visits."""
    return Simulation(costs, scenario.shape, scenario.load, scenario.deaths).run(visits)


def binding(outcome: Outcome) -> tuple[str, float]:
    """Return what is used most, and by how much the rate could grow until it is used up."""
    shares = {
        "contexts": outcome.busy,
        "cores": outcome.cores,
        "event loop": outcome.loop,
        "Redis": outcome.redis,
    }
    name = max(shares, key=lambda one: shares[one])
    return name, 1 / shares[name]


def table(rows: Sequence[tuple[Scenario, Outcome]]) -> list[str]:
    """Return the lines of the table, in Markdown."""
    lines = [
        "| Farm | Pages/s | All done | Last site | Contexts | Cores | Loop | Redis | Lease, 99th | First limit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario, one in rows:
        name, _ = binding(one)
        shares = " | ".join(f"{share:.0%}" for share in (one.busy, one.cores, one.loop, one.redis))
        lines.append(
            f"| {scenario.name} | {one.pages_per_s:,.0f} | {one.lasts_s / 3600:.1f} h "
            f"| {one.slowest_site_s / 3600:.1f} h | {shares} "
            f"| {one.lease_ms:.1f}, {one.lease_p99_ms:.0f} ms | {name} |"
        )
    return lines


def _told(outcome: Outcome) -> dict[str, object]:
    told = asdict(outcome)
    told["history"] = [[round(at, 1), round(per_s, 1)] for at, per_s in outcome.history]
    return told


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description="Simulate farms of many nodes."
    )
    parser.add_argument(
        "--urls", type=int, default=10_000_000, metavar="N", help="URLs of the crawl [10 million]"
    )
    parser.add_argument(
        "--visits", type=int, default=400_000, metavar="N", help="how many of them are simulated [400,000]"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="simulations, or processes, at once [2]"
    )
    parser.add_argument("--check", action="store_true", help="compare with real runs on this machine instead")
    parser.add_argument(
        "--rounds", type=int, default=2, metavar="N", help="of the check, real runs of each [2]"
    )
    leases = parser.add_argument_group("lease times")
    leases.add_argument(
        "--leases", action="store_true", help="measure lease times on a real Redis instead, without pages"
    )
    leases.add_argument("--contexts", type=int, default=4000, metavar="N", help="of all nodes [4000]")
    leases.add_argument("--nodes", type=int, default=100, metavar="N", help="how many [100]")
    leases.add_argument(
        "--visit-s", type=float, default=4.0, metavar="S", help="how long a visit takes in the mean [4]"
    )
    leases.add_argument("--seconds", type=float, default=30.0, metavar="S", help="measured [30]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

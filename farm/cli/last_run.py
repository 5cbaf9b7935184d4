"""The last run in an output folder, for `farm plan`: what its summary says, and what was to be expected of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from farm.policy.aimd import FIRST_IN_FLIGHT
from farm.policy.capacity import Workload, first_contexts, plan
from farm.resources.host_load import usable_cores
from farm.runtime.flow import SPAN_S
from farm.settings.units import parse_duration

SUMMARY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class LastRun:
    """What the last run in the output folder came to: its pages, their rate, and what each cost of a core.

    The rate is that of all of the run, and so is the one that was to be `expected` of it, by its `contexts`.
    """

    pages: int
    per_s: float
    page_cpu_s: float
    first_page_s: float = 0.0
    contexts: int = 0
    ramp_up_s: float = 0.0
    expected: float = 0.0


def last_run(summary: Path) -> LastRun | None:
    """Return the results of the last run; None if its summary does not contain them."""
    try:
        told = json.loads(summary.read_bytes()[:SUMMARY_BYTES])
        pages, per_s, cpu_s = int(told["written"]), float(told["pages_per_s"]), float(told["cpu_s"])
        first_page_s, contexts = float(told.get("first_page_s", 0.0)), int(told["settings"]["contexts"])
        ramp_up_s = parse_duration(told["settings"]["ramp_up"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not (pages > 0 and per_s > 0 and cpu_s > 0 and contexts > 0):
        return None
    return LastRun(pages, per_s, cpu_s / pages, first_page_s, contexts, ramp_up_s)


def compared(last: LastRun, wanted: Workload, automatic: int) -> LastRun:
    """Return the last run with what was to be expected; it had the `automatic` contexts if it had so many."""
    same = replace(
        wanted,
        pages=last.pages,
        contexts=last.contexts,
        within_s=0,
        ramp_s=0,
        first_contexts=0,
        first_places=0,
    )
    if last.pages / last.per_s > SPAN_S + last.ramp_up_s:
        # Of a shorter run the measured flow has the beginning in it already.
        first = first_contexts(usable_cores()) if last.contexts == automatic else 0
        places = 0 if wanted.allowed.places else FIRST_IN_FLIGHT
        same = replace(same, ramp_s=last.ramp_up_s, first_contexts=first, first_places=places)
    return replace(last, expected=last.pages / plan(same).lasts_s)

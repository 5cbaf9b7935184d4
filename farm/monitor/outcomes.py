"""The results of a run's visits: the statuses, the blocks, and why there is no record.

Used on the event loop. Bounded: statuses, reasons and vendors are few, and each has one example.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from farm.model.event import Committed, Event, Fate, VisitFailed
from farm.model.page import Finding, Renderer
from farm.model.record import Batch, Record
from farm.model.url import site_of
from farm.monitor.figures import counted

MOST_TROUBLES = 20
MOST_HOSTS = 100
"""How many hosts with missing scripts are counted; pages may name any number of them."""
_UNMATCHED = "no element matches "
"""The beginning of `settle_reason` if `--wait css:` found nothing."""


@dataclass(slots=True)
class RunOutcomes:
    """Counts of one run of one node; `refused` are URLs that were leased and settled without a record.

    `misses_script` says whether an entry of a record's `page_errors` is of a script that did not come.
    """

    misses_script: Callable[[Mapping[str, str]], bool]
    statuses: Counter[int] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    refused_example: dict[str, str] = field(default_factory=dict)
    """Reason -> the first URL that was refused for it."""
    dead_example: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Reason -> the first URL that was given up for it, and the detail."""
    troubles: list[str] = field(default_factory=list)
    """Sentences about what else did not work, `MOST_TROUBLES` at most."""

    without_scripts: int = 0
    """How many records are of pages that miss scripts."""
    script_hosts: Counter[str] = field(default_factory=Counter)
    """Host -> how many of these pages miss a script of it, for `MOST_HOSTS` of them."""
    script_example: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host -> the first page that misses a script of it, and what went wrong."""

    shells: int = 0
    """How many records of plain HTTP are of pages that scripts would have filled."""

    waited: int = 0
    """On how many pages `--wait css:` found what it waited for."""
    waited_in_vain: Counter[str] = field(default_factory=Counter)
    """Selector -> on how many pages there was nothing that it matches."""
    clicked: Counter[str] = field(default_factory=Counter)
    """Selector of `--click` -> on how many pages it was clicked."""
    clicked_nothing: Counter[str] = field(default_factory=Counter)

    @property
    def selectors(self) -> dict[str, tuple[int, int]]:
        """Option with its selector -> on how many pages it matched nothing, and on how many something.

        The matches of all selectors of `--wait` are counted together.
        """
        waits = {f"--wait css:{one}": (count, self.waited) for one, count in self.waited_in_vain.items()}
        return waits | {
            f"--click {one}": (count, self.clicked[one]) for one, count in self.clicked_nothing.items()
        }

    @property
    def notes(self) -> list[str]:
        """Sentences for the report: the troubles, and pages that were empty without a browser."""
        if not self.shells:
            return self.troubles
        shells = f"{counted(self.shells, 'page')} without content, which scripts would fill"
        return [*self.troubles, f"{shells}; give --render auto or browser, and --fresh"]

    @property
    def recorded(self) -> int:
        """How many records were committed."""
        return self.statuses.total()

    @property
    def settled(self) -> int:
        """How many URLs were done or given up."""
        return self.recorded + self.refused.total() + self.dead.total()

    def fold(self, event: Event) -> None:
        """Count what was committed and each URL that was given up; other events say nothing here."""
        match event:
            case Committed(batch=batch):
                self._count(batch)
            case VisitFailed(fate=Fate.DEAD):
                self.dead[event.reason] += 1
                self.dead_example.setdefault(event.reason, (event.url, event.detail))

    def trouble(self, sentence: str) -> None:
        """Keep a sentence for the report."""
        if len(self.troubles) < MOST_TROUBLES and sentence not in self.troubles:
            self.troubles.append(sentence)

    def _count(self, batch: Batch) -> None:
        """Count what a visit brought; without a record its URL was refused after it was leased."""
        for record in batch.records:
            self.statuses[record.fields.get("status") or 0] += 1
            vendor = record.fields.get("blocked_by")
            if vendor:
                self.blocked[vendor] += 1
            evidence = record.fields.get("evidence")
            if evidence and evidence["finding"] == Finding.EMPTY_SHELL:
                self.shells += record.fields.get("rendered_by") == Renderer.FETCH
            if record.fields.get("page_errors"):
                self._take_errors(record)
            self._take_selectors(record.fields.get("settle_reason", ""), record.fields.get("actions"))
        if not batch.records:
            for skip in batch.skips:
                self.refused[skip.reason] += 1
                self.refused_example.setdefault(skip.reason, skip.url)

    def _take_selectors(self, settle_reason: str, actions: Mapping[str, Any] | None) -> None:
        self.waited += settle_reason == "css"
        if settle_reason.startswith(_UNMATCHED):
            self.waited_in_vain[settle_reason.removeprefix(_UNMATCHED)] += 1
        for selector, times in (actions or {}).get("clicked", {}).items():
            (self.clicked if times else self.clicked_nothing)[selector] += 1

    def _take_errors(self, record: Record) -> None:
        missing = [entry for entry in record.fields["page_errors"] if self.misses_script(entry)]
        self.without_scripts += bool(missing)
        for host, entry in {site_of(entry["url"]): entry for entry in reversed(missing)}.items():
            if host in self.script_hosts or len(self.script_hosts) < MOST_HOSTS:
                self.script_hosts[host] += 1
                self.script_example.setdefault(host, (record.url, entry["message"].partition(": ")[2]))


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What the parts of a node have counted: for the summary, and for the report.

    `resources` has the extremes of what could run short, `throttled` sites by how they asked for less.
    """

    resources: Mapping[str, Any] = field(default_factory=dict)
    duplicate_content: int = 0
    throttled: Mapping[str, int] = field(default_factory=dict)
    unvisited_routes: Mapping[str, int] = field(default_factory=dict)


class LoggedTroubles(logging.Handler):
    """Keeps the warnings of one logger for the report; attached for as long as a run lasts."""

    def __init__(self, logger: str, outcomes: RunOutcomes) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger(logger)
        self._outcomes = outcomes

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the sentence."""
        self._outcomes.trouble(record.getMessage())

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

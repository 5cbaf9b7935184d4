"""`farm render-report`: what `--render auto` has learnt, template by template, and how the pages differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from farm.app.access import open_existing_crawl
from farm.cli.signals import run_interruptible
from farm.frontier.tiers import TemplateReport
from farm.model.page import Renderer
from farm.monitor.figures import amount, escaped
from farm.monitor.report import rendered, renderers_of
from farm.monitor.terminal import table_console
from farm.policy.tiers import TierParams, stage_of
from farm.settings.commands import RenderReportSettings
from farm.settings.load import load

ABOUT = (
    "Print what --render auto has learnt: each template of addresses, what brings it, and how pages differ."
)
MOST_ROWS = 50
"""The number of templates in the table; `--json` prints all."""


def main(arguments: Sequence[str]) -> int:
    """Print the templates of a crawl, those with differences first, for people or as JSON."""
    settings = load(RenderReportSettings, arguments, "farm render-report", ABOUT)
    crawl, sums, templates = run_interruptible(_read(settings))
    told = sorted(map(_told, templates), key=lambda one: (-one["differed"], -one["pages"], one["template"]))
    if settings.as_json:
        print(json.dumps({"crawl": crawl, **sums, "templates": told}, indent=2))
    else:
        _show(crawl, sums, told)
    return 0


async def _read(settings: RenderReportSettings) -> tuple[str, dict[str, object], list[TemplateReport]]:
    async with open_existing_crawl(settings) as (crawl, frontier):
        sums = renderers_of(await frontier.stats())
        wanted = settings.one_site
        templates = [one async for one in frontier.tiers.templates() if wanted in (None, one.site)]
        return crawl.name, sums, templates


def _told(one: TemplateReport) -> dict[str, Any]:
    """Return a template as a JSON object; `pages` were kept without a comparison."""
    renderers = {
        str(renderer): {
            "stage": stage_of(state, TierParams()).name.lower(),
            **{name: value for name, value in asdict(state).items() if name in _SHOWN},
            "differed_at": _moment(one, renderer),
            "examples": list(one.examples.get(renderer, ())),
        }
        for renderer, state in one.known.items()
    }
    return {
        "template": one.template,
        "site": one.site,
        "since": one.since.isoformat(timespec="seconds") if one.since else None,
        "pages": sum(state.taken for state in one.known.values()),
        "differed": sum(state.failures for state in one.known.values()),
        "renderers": renderers,
    }


_SHOWN = ("agreed", "failures", "unfit", "taken", "confirmed", "pooled")


def _moment(one: TemplateReport, renderer: Renderer) -> str | None:
    at = one.differed_at.get(renderer)
    return at.isoformat(timespec="seconds") if at is not None else None


def _show(crawl: str, sums: Mapping[str, Any], templates: Sequence[Mapping[str, Any]]) -> None:
    console = table_console()
    console.print(f"crawl {crawl}", highlight=False, markup=False, soft_wrap=True)
    if not templates:
        console.print("nothing is learnt yet: `farm run --render auto` compares pages", highlight=False)
        return
    for line in rendered(sums):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table()
    table.add_column("template", overflow="fold")
    for name in ("by", "stage", "agreed", "differed", "pages", "waiting"):
        table.add_column(name, justify="left" if name in {"by", "stage"} else "right")
    for one in templates[:MOST_ROWS]:
        for name, state in one["renderers"].items():
            counts = (state["agreed"], state["failures"], state["taken"], state["taken"] - state["confirmed"])
            template = Text(escaped(one["template"]))
            table.add_row(template, name, state["stage"], *map(amount, counts))
    console.print(table)
    for one in templates[:MOST_ROWS]:
        for name, state in one["renderers"].items():
            for example in state["examples"]:
                console.print(f"{name}: {escaped(example)}", highlight=False, markup=False, soft_wrap=True)
    if len(templates) > MOST_ROWS:
        console.print(f"{amount(len(templates) - MOST_ROWS)} more; --json prints all", highlight=False)

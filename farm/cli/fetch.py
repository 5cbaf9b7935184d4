"""`farm fetch`: one page on standard output, rendered as `farm run` renders it.

It is a crawl of one page in a temporary folder, so that proxies, robots.txt, retries and allowed networks work as
in every crawl.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from farm.app.preflight import RunPlan, preflight
from farm.browser.chromium import find_windowed_browser
from farm.cli.run import WORK_LEFT, execute
from farm.cli.streams import tell
from farm.model.errors import UsageError
from farm.model.secret import without_credentials
from farm.model.text import printable_json
from farm.model.url import HashRoutes
from farm.monitor.figures import escaped_lines
from farm.runtime.ports import PageHandling
from farm.scope.rules import ScopeKind
from farm.settings.commands import FetchSettings, OnePageSettings, RunSettings, TimedPageSettings
from farm.settings.load import load
from farm.settings.origin import flags_of
from farm.settings.units import Memory
from farm.sinks.address import DEFAULT

FORMS = ("text", "markdown", "main_text", "html", "json")
COLUMNS = ("markdown", "main_text")
FILES = ("screenshot", "pdf", "download", "har")
_REFUSED = 400


def main(arguments: Sequence[str]) -> int:
    """Print the page and return the exit code."""
    settings = load(FetchSettings, arguments, "farm fetch", "Render one page and print it.")
    form = _form(settings)
    code, lines = render_one(settings, {name: getattr(settings, f"as_{name}") for name in COLUMNS})
    if lines:
        _print(form, lines[0])
    return code


def render_one(
    settings: TimedPageSettings, columns: Mapping[str, bool] | None = None
) -> tuple[int, list[bytes]]:
    """Return the exit code, and the record of the page as a line of JSON if there is one.

    `columns` says which of the optional ones it has.
    """
    with tempfile.TemporaryDirectory(prefix="farm-fetch-", ignore_cleanup_errors=True) as folder:
        plan = page_plan(settings, Path(folder) / "crawl", columns or {})
        for warning in plan.warnings:
            tell(warning)
        lines: list[bytes] = []
        code = execute(plan, lambda: lines.extend(_read(plan.output / "pages.jsonl")))
    if code == WORK_LEFT:
        url = without_credentials(settings.urls[0])
        tell(f"{url} was not rendered within {settings.time_limit:g} s; give a longer --time-limit.")
    return code, lines


def _form(settings: FetchSettings) -> str:
    """Return what to print. Raises UsageError if the arguments ask for several things."""
    if len(settings.urls) != 1:
        raise UsageError(f"{len(settings.urls)} URLs were given; give one, or crawl with `farm run`.")
    chosen = [form for form in FORMS if getattr(settings, f"as_{form}")]
    if "json" in chosen:
        chosen = [form for form in chosen if form not in COLUMNS]
    if len(chosen) > 1:
        named = " and ".join(f"--{form.replace('_', '-')}" for form in chosen)
        raise UsageError(f"{named} exclude each other; give one.")
    return chosen[0] if chosen else "text"


def page_plan(
    settings: OnePageSettings,
    output: Path,
    columns: Mapping[str, bool],
    handling: PageHandling | None = None,
    *,
    windowed: bool = False,
) -> RunPlan:
    """Return the plan of a crawl of only this page: redirects are followed anywhere, links are not.

    `columns` are the optional columns of its record; `handling` is the code for the page; `windowed` shows it in a
    window. Raises UsageError for options that write files, because the folder is temporary.
    """
    for name in FILES:
        if getattr(settings, name) and name in flags_of(settings.model_fields_set):
            raise UsageError(
                f"--{name} makes files, and this command keeps none; write `farm run --scope page --{name}`."
            )
    names = type(settings).model_fields.keys() & RunSettings.model_fields.keys()
    given = {name: getattr(settings, name) for name in names} | dict.fromkeys(FILES, False) | {**columns}
    given |= {"output": output, "scope": ScopeKind.ANY, "depth": 0, "limit": 1, "contexts": 1, "ramp_up": 0.0}
    given |= {
        "processes": 1,
        "hash_routes": HashRoutes.ON,
        "live": "off",
        "sink": (DEFAULT,),
        "max_download": Memory("1MiB", 2**20),
    }
    known = settings.model_fields_set & RunSettings.model_fields.keys() - set(FILES)
    # Not from the sources of settings: the environment of crawls (FARM_REDIS) does not apply here.
    whole = RunSettings.model_construct(_fields_set={*known}, **given)
    plan = replace(preflight(whole, handling=handling), is_temporary=True)
    if windowed:
        plan = replace(plan, windowed=True, binary=find_windowed_browser(settings.browser))
    return plan


def _read(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _print(form: str, line: bytes) -> None:
    record: Mapping[str, Any] = orjson.loads(line)
    if record["blocked_by"] or record["status"] >= _REFUSED:
        by = f", blocked by {record['blocked_by']}" if record["blocked_by"] else ""
        tell(f"{record['final_url']} answered {record['status']}{by}.")
    if form != "json" and record[form] is None:
        why = [error["message"] for error in record["page_errors"] if error["kind"] == "extract"]
        tell(f"{record['final_url']} has no {form.replace('_', ' ')}{': ' if why else ''}{', '.join(why)}.")
    text = line.decode() if form == "json" else record[form] or ""
    if sys.stdout.isatty():
        # Otherwise a page could control the terminal.
        text = printable_json(text) if form == "json" else escaped_lines(text)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n" * (not text.endswith("\n")))
    sys.stdout.buffer.flush()

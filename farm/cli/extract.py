"""`farm extract`: try a declaration on one page, or run it over stored pages without crawling again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.cli.export import progress, sources_of
from farm.cli.fetch import render_one
from farm.cli.streams import tell
from farm.export.destination import Destination, written
from farm.export.filters import RecordFilter
from farm.export.merge import Merge
from farm.export.source import StoredRecord
from farm.extract.declaration import read_declaration
from farm.extract.documents import Unreadable
from farm.extract.engine import Extraction, Extractor, PageContent
from farm.extract.near_misses import near_misses
from farm.model.errors import UsageError
from farm.monitor.figures import escaped
from farm.settings.commands import ExtractSettings
from farm.settings.load import load
from farm.sinks.bodies import read_body
from farm.sinks.record import items_of, json_line

_SHOWN_ITEMS = 20
_SHOWN_CHARS = 200
_REFUSED = 400
_NEEDED = frozenset({"final_url", "status", "evidence", "html"})


def main(arguments: Sequence[str]) -> int:
    """Extract, and return the exit code."""
    settings = load(
        ExtractSettings,
        arguments,
        "farm extract",
        "farm extract FILE URL: try a declaration of items on a page.",
    )
    file, *urls = settings.urls or ("",)
    if not file or len(urls) != (not settings.sources):
        raise UsageError("write `farm extract FILE URL`, or `farm extract FILE --from SOURCE`.")
    declaration = read_declaration(Path(file))
    extractor = Extractor(declaration)
    if settings.sources:
        return _over_stored(extractor, settings.sources, settings.to)
    captured = (*settings.capture, *declaration.captures)
    code, lines = render_one(settings.model_copy(update={"urls": (urls[0],), "capture": captured}))
    for line in lines:
        _show(extractor, orjson.loads(line))
    return code


def _show(extractor: Extractor, record: Mapping[str, Any]) -> None:
    page = PageContent.of_record(record)
    console = Console()
    if not extractor.matches(page.url):
        console.print(Text(f"no rule matches {escaped(page.url)}; see url and url_pattern"))
        return
    found = extractor.read(page)
    for number, (kind, item) in enumerate(found.items[:_SHOWN_ITEMS], 1):
        table = Table(title=f"{kind} {number} of {len(found.items)}", title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column()
        for name, value in item.items():
            shown = value if isinstance(value, str) else json_line(value)[:-1].decode()
            table.add_row(name, Text(escaped(shown[:_SHOWN_CHARS])))
        console.print(table)
    if not found.items:
        console.print("no items")
    for error in found.errors:
        console.print(Text(escaped(f"{error['kind']}.{error['field']}: {error['message']}")))
    try:
        near = near_misses(extractor, page)
    except Unreadable:
        return
    for what, meant in near.items():
        console.print(Text(escaped(f"{what}{meant}")))


def _over_stored(extractor: Extractor, sources: Sequence[str], to: Path | None) -> int:
    destination = Destination("jsonl", to)
    pages = items = errors = 0
    first = ""
    with (
        progress() as told,
        Merge(sources_of(sources), RecordFilter(), told) as merge,
        written(destination) as out,
    ):
        for source, record in merge.stored():
            pages += 1
            found = _read(extractor, record, source.folder)
            for item in items_of(record, found.items):
                out.write(json_line(item))
            items, errors = items + len(found.items), errors + len(found.errors)
            if found.errors and not first:
                first = f"; the first, on {record['url']}: {found.errors[0]['message']}"
    tell(f"{items:,} items of {pages:,} pages, {errors:,} errors{first}")
    return 0


def _read(extractor: Extractor, record: StoredRecord, folder: Path) -> Extraction:
    """Return what is extracted of a page; nothing where another one is shown in its place."""
    if lacking := _NEEDED - record.keys():
        raise UsageError(f"The records have no {', '.join(sorted(lacking))}; give a source with all columns.")
    if (
        (record["status"] or _REFUSED) >= _REFUSED
        or record["evidence"]
        or not extractor.matches(record["url"])
    ):
        return Extraction()
    files = record.get("files")
    if record["html"] is None and isinstance(files, dict) and files.get("html"):
        record = {**record, "html": read_body(folder, str(files["html"]))}
    return extractor.read(PageContent.of_record(record))

"""`farm extract`: try a declaration on one page, or run it over stored pages without crawling again."""

import gzip
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.cli.fetch import render_one
from farm.cli.streams import tell
from farm.extract.declaration import read_declaration
from farm.extract.documents import Unreadable
from farm.extract.engine import Extraction, Extractor, PageContent
from farm.extract.near_misses import near_misses
from farm.model.errors import OutputUnwritable, UsageError
from farm.monitor.figures import escaped
from farm.settings.commands import ExtractSettings
from farm.settings.load import load
from farm.sinks.bodies import read_body
from farm.sinks.record import items_of, json_line

_SHOWN_ITEMS = 20
_SHOWN_CHARS = 200
_LONGEST_LINE = 1 << 28
_REFUSED = 400
_NEEDED = {"id", "url", "final_url", "status", "evidence", "fetched_at"}


def main(arguments: Sequence[str]) -> int:
    """Extract, and return the exit code."""
    settings = load(
        ExtractSettings,
        arguments,
        "farm extract",
        "farm extract FILE URL: try a declaration of items on a page.",
    )
    file, *urls = settings.urls or ("",)
    if not file or len(urls) != (settings.source is None):
        raise UsageError("write `farm extract FILE URL`, or `farm extract FILE --from SOURCE`.")
    extractor = Extractor(read_declaration(Path(file)))
    if settings.source is not None:
        return _over_stored(extractor, settings.source, settings.to)
    code, lines = render_one(settings.model_copy(update={"urls": (urls[0],)}))
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


def _over_stored(extractor: Extractor, source: Path, to: Path | None) -> int:
    path = source / "pages.jsonl" if source.is_dir() else source
    pages = items = errors = 0
    first = ""
    try:
        with to.open("xb") if to is not None else open(1, "wb", closefd=False) as out:
            sys.stdout.flush()
            for record in _records(path):
                pages += 1
                found = _read(extractor, record, path.parent)
                for item in items_of(record, found.items):
                    out.write(json_line(item))
                items, errors = items + len(found.items), errors + len(found.errors)
                if found.errors and not first:
                    first = f"; the first, on {record['url']}: {found.errors[0]['message']}"
    except FileExistsError:
        raise UsageError(f"--to {to} exists already; remove it, or name another file.") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputUnwritable(
            f"{error.filename or to} cannot be read or written ({error.strerror}); check its permissions."
        ) from None
    tell(f"{items:,} items of {pages:,} pages, {errors:,} errors{first}")
    return 0


def _read(extractor: Extractor, record: Mapping[str, Any], folder: Path) -> Extraction:
    if record["status"] >= _REFUSED or record["evidence"] or not extractor.matches(record["url"]):
        return Extraction()
    files = record.get("files")
    if record.get("html") is None and isinstance(files, dict) and files.get("html"):
        record = {**record, "html": read_body(folder, str(files["html"]))}
    return extractor.read(PageContent.of_record(record))


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        file: BinaryIO = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[assignment]  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"--from {path} cannot be read ({error.strerror}); give a pages.jsonl.") from None
    with file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            try:
                record = orjson.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or not record.keys() >= _NEEDED:
                raise UsageError(f"--from {path}: line {number} is not a record of a page.")
            yield record

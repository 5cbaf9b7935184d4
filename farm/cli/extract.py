"""`farm extract`: try a declaration on one page, or run it over stored pages without crawling again."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from rich.table import Table
from rich.text import Text

from farm.cli.export import progress, sources_of
from farm.cli.fetch import render_one
from farm.cli.signals import run_interruptible
from farm.cli.streams import print_lines, tell
from farm.export.destination import Destination, written
from farm.export.filters import RecordFilter
from farm.export.merge import Merge
from farm.export.source import Source, StoredRecord
from farm.extract.declaration import Declaration
from farm.extract.declaration_file import read_declaration
from farm.extract.engine import Extraction, Extractor, PageContent
from farm.extract.parser_pool import MOST, ItemReader, ParserParams, ParserPool
from farm.model.errors import UsageError
from farm.model.text import printable_json
from farm.model.url import HashRoutes
from farm.monitor.figures import counted, escaped
from farm.monitor.terminal import table_console
from farm.resources.host_load import usable_cores
from farm.resources.memory import machine_bytes, renderer_cap_bytes
from farm.scope.seeds import given_seeds
from farm.settings.commands import ExtractSettings
from farm.settings.load import load
from farm.sinks.bodies import read_body
from farm.sinks.record import items_of, json_line

_SHOWN_ITEMS = 20
_SHOWN_CHARS = 200
_REFUSED = 400
AHEAD = 8
"""How many pages are read at once, or wait to be written."""
_LARGE = frozenset({"html", "text", "markdown", "main_text", "responses", "links"})
"""Columns of a page that its items do not need."""
_NEEDED = frozenset({"final_url", "status", "evidence", "html"})


def main(arguments: Sequence[str]) -> int:
    """Extract, and return the exit code."""
    settings = load(
        ExtractSettings,
        arguments,
        "farm extract",
        "Try a declaration of items on one page, or run it over stored pages (--from).",
    )
    file, *urls = settings.urls or ("",)
    if not file or len(urls) != (not settings.sources):
        raise UsageError("write `farm extract FILE URL`, or `farm extract FILE --from SOURCE`.")
    if "://" in file:
        raise UsageError("The declaration comes first: write `farm extract FILE URL`.")
    declaration = read_declaration(Path(file), "the declaration")
    memory_bytes = renderer_cap_bytes(settings.memory.of(machine_bytes()))
    if settings.sources:
        return run_interruptible(_over_stored(declaration, memory_bytes, settings.sources, settings.to))
    (page,), _ = given_seeds(urls, None, hash_routes=HashRoutes.ON, keep_params=())
    if not Extractor(declaration).matches(page.url):
        raise UsageError(
            f"{file} has no rule for {page.url}; correct its url and url_pattern, or give another page's URL."
        )
    captured = (*settings.capture, *declaration.captures)
    code, lines = render_one(settings.model_copy(update={"urls": (urls[0],), "capture": captured}))
    for line in lines:
        run_interruptible(_show(declaration, memory_bytes, orjson.loads(line), as_json=settings.as_json))
    return code


@asynccontextmanager
async def _reading(declaration: Declaration, memory_bytes: int) -> AsyncIterator[ItemReader]:
    """Start processes that read pages; they end with this one, even if it is killed, since their input ends."""
    params = ParserParams(min(MOST, usable_cores()), memory_bytes)
    pool = ParserPool(params, lambda _: None, lambda _: None)
    try:
        yield ItemReader(pool, declaration)
    finally:
        await pool.close()


async def _show(
    declaration: Declaration, memory_bytes: int, record: Mapping[str, Any], *, as_json: bool
) -> None:
    page = PageContent.of_record(record)
    console = table_console()
    async with _reading(declaration, memory_bytes) as reader:
        found, near = await reader.of(page), await reader.near_misses(page)
    if as_json:
        lines = (json_line(item).decode().rstrip("\n") for item in items_of(record, found.items))
        print_lines(map(printable_json, lines) if sys.stdout.isatty() else lines)
        for error in found.errors:
            tell(f"{error['kind']}.{error['field']}: {error['message']}")
        for what, meant in near.items():
            tell(f"{what}{meant}")
        return
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
        console.print(Text(escaped(f"{error['kind']}.{error['field']}: {error['message']}")), soft_wrap=True)
    for what, meant in near.items():
        console.print(Text(escaped(f"{what}{meant}")), soft_wrap=True)


async def _over_stored(
    declaration: Declaration, memory_bytes: int, sources: Sequence[str], to: Path | None
) -> int:
    """Read the items of stored pages, a few pages at once, and write them in the order of the pages."""
    destination = Destination("jsonl", to)
    extractor = Extractor(declaration)
    told_of = _ItemsRead()
    waiting: deque[tuple[StoredRecord, asyncio.Task[Extraction]]] = deque()
    async with _reading(declaration, memory_bytes) as reader:
        with progress() as told, written(destination) as out:
            merge = Merge(sources_of(sources), RecordFilter(), told)
            try:
                async with aclosing(_stored(merge)) as stored:
                    async for source, record in stored:
                        told_of.pages += 1
                        page = _page_of(extractor, record, source.folder)
                        if page is None:
                            continue
                        about = {name: record[name] for name in record.keys() - _LARGE}
                        waiting.append((about, asyncio.create_task(reader.of(page))))
                        if len(waiting) == AHEAD:
                            told_of.write(out, *await _next(waiting))
                while waiting:
                    told_of.write(out, *await _next(waiting))
            finally:
                for _, reading in waiting:
                    reading.cancel()
                await asyncio.gather(*(reading for _, reading in waiting), return_exceptions=True)
    tell(told_of.sentence())
    return 0


async def _stored(merge: Merge) -> AsyncGenerator[tuple[Source, StoredRecord], None]:
    """Yield the records, read in a thread of their own: a slow store is not to use up the time that pages have."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "stored-pages") as thread:
        records = merge.stored()
        try:
            await loop.run_in_executor(thread, merge.__enter__)
            while (found := await loop.run_in_executor(thread, lambda: next(records, None))) is not None:
                yield found
        finally:
            # There too: what SQLite has opened it closes in no other thread.
            thread.submit(records.close).result()
            thread.submit(merge.__exit__).result()


async def _next(
    waiting: deque[tuple[StoredRecord, asyncio.Task[Extraction]]],
) -> tuple[StoredRecord, Extraction]:
    """Return the first waiting page with its items, once they are read; it waits until then."""
    record, reading = waiting[0]
    found = await reading
    waiting.popleft()
    return record, found


@dataclass
class _ItemsRead:
    """The counts and errors of stored pages."""

    pages: int = 0
    items: int = 0
    errors: int = 0
    first: str = ""

    def write(self, out: BinaryIO, record: StoredRecord, found: Extraction) -> None:
        """Write the items of a page."""
        out.writelines(json_line(item) for item in items_of(record, found.items))
        self.items, self.errors = self.items + len(found.items), self.errors + len(found.errors)
        if found.errors and not self.first:
            self.first = f"; the first, on {record['url']}: {found.errors[0]['message']}"

    def sentence(self) -> str:
        """Print the results."""
        pages, errors = counted(self.pages, "page"), counted(self.errors, "error")
        return f"{counted(self.items, 'item')} of {pages}, {errors}{self.first}"


def _page_of(extractor: Extractor, record: StoredRecord, folder: Path) -> PageContent | None:
    """Return the page to read; None if it is not the requested one, or no rule applies to it."""
    if lacking := _NEEDED - record.keys():
        raise UsageError(f"The records have no {', '.join(sorted(lacking))}; give a source with all columns.")
    if (
        (record["status"] or _REFUSED) >= _REFUSED
        or record["evidence"]
        or not extractor.matches(record["url"])
    ):
        return None
    files = record.get("files")
    if record["html"] is None and isinstance(files, dict) and files.get("html"):
        record = {**record, "html": read_body(folder, str(files["html"]))}
    return PageContent.of_record(record)

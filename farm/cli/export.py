"""`farm export`: stored records, merged to one row an id, in another format."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from farm.app.access import PRIVATE, crawl_folder
from farm.cli.streams import tell
from farm.export.destination import FORMS, Destination, check_destination, written, written_folder
from farm.export.filters import RecordFilter
from farm.export.find import find_sources, find_warcs
from farm.export.merge import Merge, Tell
from farm.export.source import Source, StoredRecord
from farm.export.wacz import write_wacz
from farm.export.writers import (
    field_names,
    write_csv,
    write_items_csv,
    write_items_jsonl,
    write_jsonl,
    write_links,
    write_parquet,
)
from farm.model.errors import UsageError
from farm.model.record import COLUMNS
from farm.monitor.figures import counted
from farm.settings.commands import ExportSettings
from farm.settings.load import load
from farm.settings.origin import did_you_mean
from farm.settings.stored import kept_sinks

ABOUT = "Write stored records, merged to one row an id, to files of another format."


def main(arguments: Sequence[str]) -> int:
    """Export, and return the exit code."""
    settings = load(ExportSettings, arguments, "farm export", ABOUT)
    destination = settings.destination
    if destination is None:
        raise UsageError(f"`farm export` needs a destination; give --to {FORMS}.")
    check_destination(destination)
    names = _columns(settings, destination)
    keep = RecordFilter.of(settings.pattern, settings.status, settings.since, settings.until)
    named = settings.sources or [str(crawl_folder(settings))]
    if destination.kind == "wacz":
        return _archive(settings, named, destination)
    sources = sources_of(named)
    with progress() as told, Merge(sources, keep, told) as merge:
        if settings.items:
            written_rows = _write_items(merge, settings, destination)
        else:
            written_rows = _write(merge.records(), names, destination, replace=settings.force)
    what = "item" if settings.items else "link" if destination.kind == "links" else "record"
    read = f"of {counted(merge.read, 'record')} in {_named(sources)}"
    tell(f"{counted(written_rows, what)} in {destination}, {read}")
    return 0


def _archive(settings: ExportSettings, named: Sequence[str], destination: Destination) -> int:
    """Write the WARC files of a crawl as a WACZ, which has all of them."""
    for name in ("pattern", "status", "since", "until"):
        if getattr(settings, name):
            raise UsageError(
                f"--{name} does not go with --to wacz:, which has whole WARC files; leave it out."
            )
    warcs, sources = find_warcs(named, _kept)
    with progress() as told, Merge(sources or (), RecordFilter(), told) as merge:
        records = None if sources is None else merge.records()
        with written(destination, replace=settings.force) as out:
            pages = write_wacz(warcs, records, out)
    tell(f"{counted(pages, 'page')} in {destination}, of {counted(len(warcs), 'WARC file')}")
    return 0


def _kept(folder: Path) -> Sequence[str]:
    return kept_sinks(folder / PRIVATE)


def sources_of(named: Iterable[str]) -> list[Source]:
    """Return the sources that a user names. Raises UsageError."""
    return find_sources(named, _kept)


@contextmanager
def progress() -> Iterator[Tell]:
    """Show the progress on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=1.0)
        yield (lambda share: shown.update(task, completed=share)) if console.is_terminal else (lambda _: None)


def _write_items(merge: Merge, settings: ExportSettings, destination: Destination) -> int:
    names = list(dict.fromkeys(settings.columns))
    if destination.kind == "csv":
        names = names or field_names(merge.items())
    with written(destination, replace=settings.force) as out:
        if destination.kind == "csv":
            escapes = destination.escape_formulas
            return write_items_csv(merge.items(), names, out, escape_formulas=escapes)
        return write_items_jsonl(merge.items(), names, out)


def _columns(settings: ExportSettings, destination: Destination) -> Sequence[str]:
    every = [column.name for column in COLUMNS]
    if settings.columns and destination.kind not in {"jsonl", "csv", "parquet"}:
        raise UsageError(f"--columns does not go with --to {destination.kind}:; leave it out.")
    if settings.items and destination.kind not in {"jsonl", "csv"}:
        raise UsageError("--items goes with --to jsonl: and csv:; take one of these, or leave it out.")
    for name in () if settings.items else settings.columns:
        if name not in every:
            raise UsageError(f"--columns: there is no column {name!r}{did_you_mean(name, every)}.")
    return list(dict.fromkeys(settings.columns)) or every


def _write(
    records: Iterator[StoredRecord], names: Sequence[str], destination: Destination, *, replace: bool
) -> int:
    """Write the records to their destination, completely or not at all; return the number of rows."""
    escapes = destination.escape_formulas
    if destination.kind == "parquet":
        with written_folder(destination, ".parquet", replace=replace) as folder:
            return write_parquet(records, names, folder)
    with written(destination, replace=replace) as out:
        if destination.kind == "links":
            return write_links(records, out, as_csv=destination.is_csv, escape_formulas=escapes)
        if destination.kind == "csv":
            return write_csv(records, names, out, escape_formulas=escapes)
        return write_jsonl(records, names, out)


def _named(sources: Sequence[Source]) -> str:
    names = list(dict.fromkeys(source.name for source in sources))
    return names[0] if len(names) == 1 else f"{len(names):,} sources"

"""The sources of an export: files, folders, sinks in the form of `--sink`, output folders."""

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from farm.export.line_files import LineFiles, open_file
from farm.export.source import Source
from farm.export.tables import PostgresTables, SqliteTables
from farm.model.errors import UsageError
from farm.model.secret import MASK
from farm.sinks.address import SinkAddress, parse_sink
from farm.sinks.item_values import items_path
from farm.sinks.log_file import name_parts

FORMS = (
    "an output folder, a file (.jsonl or .csv, also .gz and .zst; .db), a folder of Parquet files, "
    "sqlite:///FILE or postgresql://HOST/DATABASE"
)
_ADDRESS = re.compile(r"(?:jsonl|csv|sqlite|parquet|postgres(?:ql)?|warc):", re.IGNORECASE)
_WARC = ".warc.gz"
_DIGITS = 6
"""The least number of digits in the names of finished files."""
_SQLITE = b"SQLite format 3\0"
_ENDINGS = (".jsonl", ".csv", ".jsonl.gz", ".csv.gz", ".jsonl.zst", ".csv.zst")
_READABLE = ("jsonl", "csv", "sqlite", "parquet", "postgresql")
KeptSinks = Callable[[Path], Sequence[str]]
"""Returns the kept sinks of the crawl in an output folder; none if it has the default."""


def find_sources(named: Iterable[str], kept: KeptSinks) -> list[Source]:
    """Return the sources, each once, in this order. Raises UsageError where one is none."""
    return [_source(one, kept) for one in dict.fromkeys(named)]


def _source(named: str, kept: KeptSinks) -> Source:
    if _ADDRESS.match(named):
        try:
            return _of_sink(parse_sink(named))
        except ValueError as error:
            raise UsageError(f"{named.partition(':')[0]}: {error}.") from None
    path = Path(named).expanduser()
    if path.is_dir():
        return _of_folder(path, kept)
    if not path.exists():
        raise UsageError(f"There is no {path}; give {FORMS}.")
    return _of_file(path)


def _of_sink(address: SinkAddress) -> Source:
    if address.url is not None:
        _check_package("psycopg", "postgres", address)
        from farm.sinks.postgres import is_address

        if not is_address(address.url):
            raise UsageError(
                f"{address} is not the address of a server; write postgresql://USER@HOST:PORT/DATABASE."
            )
        return PostgresTables(address.url)
    if address.remote:
        raise UsageError(f"{address} is in an object store; copy its files to a folder, and give that.")
    if address.path is None:
        raise UsageError(f"{address} names no place; give {FORMS}.")
    if address.kind == "sqlite":
        return SqliteTables(address.path)
    if address.kind == "parquet":
        return _of_parquet(address.path)
    if address.kind in {"jsonl", "csv"}:
        return _of_lines(address.path)
    raise UsageError(f"{address} has no records with columns; give {FORMS}, or --to wacz:FILE.")


def _of_file(path: Path) -> Source:
    with open_file(path) as file:
        begins = file.read(len(_SQLITE))
    items = items_path(path)
    return (
        SqliteTables(path)
        if begins == _SQLITE
        else LineFiles(str(path), [path], [items] if items.exists() else [])
    )


def find_warcs(named: Iterable[str], kept: KeptSinks) -> tuple[list[Path], list[Source] | None]:
    """Return the finished WARC files of folders, and the records beside them; None where one has no records.

    Raises UsageError if there are no WARC files.
    """
    files: dict[Path, None] = {}
    sources: list[Source | None] = []
    for one in dict.fromkeys(named):
        place = Path(one.removeprefix("warc:")).expanduser()
        own = [place] if place.name.endswith(_WARC) and place.is_file() else sorted(place.glob(f"*{_WARC}"))
        addresses = [] if own else _kept_addresses(place, kept)
        folders = [address.path for address in addresses if address.kind == "warc" and address.path]
        own = own or [path for folder in folders for path in sorted(folder.glob(f"*{_WARC}"))]
        if not own:
            raise UsageError(
                f"{one} has no WARC files; crawl with --sink warc:DIR, or give the folder DIR itself."
            )
        files |= dict.fromkeys(own)
        sources.append(_in_folder(place, kept) if folders else None)
    return list(files), None if None in sources else [one for one in sources if one is not None]


def _of_folder(folder: Path, kept: KeptSinks) -> Source:
    """Return the records of an output folder, or of a folder of files."""
    found = _in_folder(folder, kept)
    if found is not None:
        return found
    hidden = next((one for one in kept(folder) if MASK in one), "")
    if hidden:
        raise UsageError(
            f"The records of {folder} are in {hidden}, whose password is not kept; give all of it."
        )
    raise UsageError(f"{folder} has no records; give {FORMS}.")


def _in_folder(folder: Path, kept: KeptSinks) -> Source | None:
    for ending in _ENDINGS:
        pages = folder / f"pages{ending}"
        if pages.exists() or _rotated(pages):
            return _of_lines(pages, str(folder))
    addresses = _kept_addresses(folder, kept)
    for kind in _READABLE:
        for address in addresses:
            if address.kind == kind and (address.url or (address.path and address.path.exists())):
                source = _of_sink(address)
                source.folder = folder
                return source
    if any(folder.glob("*.parquet")) or any(folder.glob(".part-*.log")):
        return _of_parquet(folder)
    return None


def _kept_addresses(folder: Path, kept: KeptSinks) -> list[SinkAddress]:
    """Return the kept sinks of a folder that can be read here and have no password."""
    found = []
    for one in kept(folder):
        with suppress(ValueError):
            found += [parse_sink(one)] if MASK not in one else []
    return found


def _of_lines(path: Path, name: str = "") -> Source:
    """Return a file with those that a rotation has finished before it, and their items."""
    items = items_path(path)
    files = [*_rotated(path), *([path] if path.exists() else [])]
    if not files:
        raise UsageError(f"There is no {path}; give {FORMS}.")
    return LineFiles(name or str(path), files, [*_rotated(items), *([items] if items.exists() else [])])


def _rotated(path: Path) -> list[Path]:
    """Return the files `NAME-000001.jsonl` of a file `NAME.jsonl`, in order."""
    if not path.parent.is_dir():
        return []
    stem, suffix = name_parts(path.name)
    found = [
        (number, one)
        for one in path.parent.iterdir()
        if one.name.startswith(f"{stem}-")
        and one.name.endswith(suffix)
        and (number := one.name[len(stem) + 1 : len(one.name) - len(suffix)]).isdecimal()
        and len(number) >= _DIGITS
    ]
    return [one for _, one in sorted(found, key=lambda each: int(each[0][:18]))]


def _of_parquet(folder: Path) -> Source:
    _check_package("pyarrow", "parquet", folder)
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; give {FORMS}.")
    from farm.export.parquet_folder import ParquetFolder

    return ParquetFolder(folder)


def _check_package(module: str, extra: str, name: object) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{name} needs the package {module}; install it with `pip install 'crawl-farm[{extra}]'`."
        ) from None

"""The sources of an export: files, folders, sinks in the form of `--sink`, output folders."""

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.export.line_files import LineFiles
from farm.export.log_files import LogFiles
from farm.export.source import Source
from farm.export.stored_file import LocalFile, StoredFile, objects, that_end_in
from farm.export.tables import PostgresTables, SqliteTables
from farm.model.errors import UsageError
from farm.model.secret import MASK
from farm.resources.installation import install_command
from farm.sinks.address import SinkAddress, packages_of, parse_object_store, parse_sink
from farm.sinks.item_values import ITEMS, items_path
from farm.sinks.log_file import name_parts
from farm.sinks.output import PRIVATE_FOLDER
from farm.sinks.places import sidecar_folder

if TYPE_CHECKING:
    from farm.sinks.object_store import ObjectReader

FORMS = (
    "an output folder, a file (.jsonl or .csv, also .gz and .zst; .db), a folder of Parquet files, "
    "sqlite:///FILE, postgresql://HOST/DATABASE or s3://BUCKET/PREFIX"
)
_ADDRESS = re.compile(r"(?:jsonl|csv|sqlite|parquet|postgres(?:ql)?|warc):", re.IGNORECASE)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.ASCII)
_PAGES = frozenset({"http", "https"})
_WARC, _PARQUET = ".warc.gz", ".parquet"
_DIGITS = 6
"""The least number of digits in the names of finished files."""
_SQLITE = b"SQLite format 3\0"
_LOGS = ".part-*.log"
_ENDINGS = (".jsonl", ".csv", ".jsonl.gz", ".csv.gz", ".jsonl.zst", ".csv.zst")
_READABLE = ("jsonl", "csv", "sqlite", "parquet", "postgresql")
KeptSinks = Callable[[Path], Sequence[str]]
"""Returns the kept sinks of the crawl in an output folder; none if it has the default."""


def find_sources(named: Iterable[str], kept: KeptSinks) -> list[Source]:
    """Return the sources, each once, in this order. Raises UsageError where one is none."""
    return [source for one in dict.fromkeys(named) for source in _sources(one, kept)]


def _sources(named: str, kept: KeptSinks) -> list[Source]:
    address = _address(named)
    if address is not None:
        return _of_sink(address)
    path = Path(named).expanduser()
    if path.is_dir():
        return _of_folder(path, kept)
    if not path.exists():
        raise UsageError(f"There is no {path}; give {FORMS}.")
    return [_of_file(path)]


def _address(named: str) -> SinkAddress | None:
    """Return what is named as a sink is, or by the URL of an object store; None where it is a path."""
    url = _URL.match(named)
    is_sink = _ADDRESS.match(named) is not None
    if not is_sink and url is None:
        return None
    if not is_sink and url is not None and url[1] in _PAGES:
        raise UsageError(f"{named} is not a source; download it, or give {FORMS}.")
    try:
        return parse_sink(named) if is_sink else parse_object_store(named)
    except ValueError as error:
        raise UsageError(f"{named.partition(':')[0]}: {error}.") from None


def _of_sink(address: SinkAddress, logs: Sequence[Path] = ()) -> list[Source]:
    """Return the records of a sink; `logs` are those whose objects are not there yet."""
    if address.kind == "postgresql" and address.url is not None:
        _check_package("psycopg", "postgres", address)
        from farm.sinks.postgres import is_address

        if not is_address(address.url):
            raise UsageError(
                f"{address} is not the address of a server; write postgresql://USER@HOST:PORT/DATABASE."
            )
        return [PostgresTables(address.url)]
    if address.remote:
        return _of_objects(address, logs)
    if address.path is None:
        raise UsageError(f"{address} names no place; give {FORMS}.")
    if address.kind == "sqlite":
        return [SqliteTables(address.path)]
    if address.kind == "parquet":
        return _of_parquet(address.path)
    if address.kind in {"jsonl", "csv"}:
        return [_of_lines(address.path)]
    raise UsageError(f"{address} has no records with columns; give {FORMS}, or --to wacz:FILE.")


def _of_objects(address: SinkAddress, logs: Sequence[Path] = ()) -> list[Source]:
    """Return the records below the URL of an object store: those of the sink's kind, or of all."""
    name, nowhere = str(address), Path()
    not_there, reader = _log_files(name, nowhere, logs), _reader(address)
    found = objects(reader)
    lines = that_end_in(found, *(one for one in _ENDINGS if address.kind in {"", one.split(".")[1]}))
    tables = that_end_in(found, _PARQUET) if address.kind in {"", "parquet"} else []
    items = objects(reader, ITEMS) if lines or tables else []
    sources = list[Source]()
    if lines:
        sources.append(LineFiles(name, nowhere, lines, that_end_in(items, *_ENDINGS)))
    if tables:
        _check_package("pyarrow", "parquet", address)
        from farm.export.parquet_files import ParquetFiles

        sources.append(ParquetFiles(name, nowhere, tables, that_end_in(items, _PARQUET)))
    sources += not_there
    if not sources:
        what = ".warc.gz alone, which is for --to wacz:FILE" if that_end_in(found, _WARC) else "no records"
        raise UsageError(f"{address} has {what}; check the address, or give {FORMS}.")
    return sources


def _reader(address: SinkAddress) -> "ObjectReader":
    """Return what reads the objects below an address. Raises UsageError."""
    for module, extra in packages_of(address):
        _check_package(module, extra, address)
    from farm.sinks.object_store import ObjectReader, check_protocol

    check_protocol(str(address), address.remote)
    return ObjectReader(str(address), address.remote, dict(address.options))


def _of_file(path: Path) -> Source:
    with LocalFile(path).open() as file:
        begins = file.read(len(_SQLITE))
    if begins == _SQLITE:
        return SqliteTables(path)
    return _line_files(str(path), path.parent, [path], [items_path(path)])


def _line_files(name: str, folder: Path, files: Sequence[Path], items: Sequence[Path]) -> LineFiles:
    return LineFiles(
        name, folder, [*map(LocalFile, files)], [LocalFile(one) for one in items if one.exists()]
    )


def find_warcs(named: Iterable[str], kept: KeptSinks) -> tuple[list[StoredFile], list[Source] | None]:
    """Return the finished WARC files of folders, and the records beside them; None where one has no records.

    Raises UsageError if there are no WARC files.
    """
    files: dict[StoredFile, None] = {}
    sources: list[list[Source]] = []
    for one in dict.fromkeys(named):
        address = _address(one) if _URL.match(one.removeprefix("warc:")) else None
        if address is not None:
            own, beside = _warcs_of(address) if address.remote else [], list[Source]()
        else:
            own, beside = _warcs_in(Path(one.removeprefix("warc:")).expanduser(), kept)
        if not own:
            raise UsageError(
                f"{one} has no WARC files; crawl with --sink warc:DIR, or give the folder DIR itself."
            )
        files |= dict.fromkeys(own)
        sources.append(beside)
    return list(files), [one for each in sources for one in each] if all(sources) else None


def _warcs_in(place: Path, kept: KeptSinks) -> tuple[list[StoredFile], list[Source]]:
    """Return the WARC files of a folder, or of its crawl's sinks, and then the crawl's records too."""
    own = _warcs_of(SinkAddress("warc", place))
    if own:
        return own, []
    addresses = [address for address in _kept_addresses(place, kept) if address.kind == "warc"]
    own = [file for address in addresses for file in _warcs_of(address)]
    return own, _in_folder(place, kept) if own else []


def _warcs_of(address: SinkAddress) -> list[StoredFile]:
    if address.path is None:
        return [*that_end_in(objects(_reader(address)), _WARC)]
    if address.path.name.endswith(_WARC) and address.path.is_file():
        return [LocalFile(address.path)]
    return [LocalFile(path) for path in sorted(address.path.glob(f"*{_WARC}"))]


def _of_folder(folder: Path, kept: KeptSinks) -> list[Source]:
    """Return the records of an output folder, or of a folder of files."""
    found = _in_folder(folder, kept)
    if found:
        return found
    hidden = next((one for one in kept(folder) if MASK in one), "")
    if hidden:
        raise UsageError(
            f"The records of {folder} are in {hidden}, whose password is not kept; give all of it."
        )
    raise UsageError(f"{folder} has no records; give {FORMS}.")


def _in_folder(folder: Path, kept: KeptSinks) -> list[Source]:
    """Return the records of a folder; none where it has none."""
    for ending in _ENDINGS:
        pages = folder / f"pages{ending}"
        if pages.exists() or _rotated(pages):
            return [_of_lines(pages, str(folder))]
    addresses = _kept_addresses(folder, kept)
    for kind in _READABLE:
        for address in addresses:
            if address.kind == kind and (
                address.url or address.remote or (address.path and address.path.exists())
            ):
                sources = _of_sink(address, _logs_of(folder, address))
                for source in sources:
                    source.folder = folder
                return sources
    if any(folder.glob(f"*{_PARQUET}")) or any(folder.glob(_LOGS)):
        return _of_parquet(folder)
    return []


def _logs_of(folder: Path, address: SinkAddress) -> list[Path]:
    """Return the logs in an output folder whose objects are not there yet."""
    if not address.remote:
        return []
    return sorted(sidecar_folder(folder / PRIVATE_FOLDER, address.object_name).glob(_LOGS))


def _kept_addresses(folder: Path, kept: KeptSinks) -> list[SinkAddress]:
    """Return the kept sinks of a folder that can be read here and have no password."""
    found = []
    for one in kept(folder):
        with suppress(ValueError):
            found += [parse_sink(one)] if MASK not in one else []
    return found


def _of_lines(path: Path, name: str = "") -> LineFiles:
    """Return a file with those that a rotation has finished before it, and their items."""
    items = items_path(path)
    files = [*_rotated(path), *([path] if path.exists() else [])]
    if not files:
        raise UsageError(f"There is no {path}; give {FORMS}.")
    return _line_files(name or str(path), files[0].parent, files, [*_rotated(items), items])


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


def _of_parquet(folder: Path) -> list[Source]:
    """Return the Parquet files of a folder, and the logs that are not made files of yet."""
    _check_package("pyarrow", "parquet", folder)
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; give {FORMS}.")
    from farm.export.parquet_files import files_in

    logs = _log_files(str(folder), folder.parent, sorted(folder.glob(_LOGS)))
    return [files_in(folder), *logs]


def _log_files(name: str, folder: Path, logs: Sequence[Path]) -> list[LogFiles]:
    return [LogFiles(name, folder, logs)] if logs else []


def _check_package(module: str, extra: str, name: object) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{name} needs the package {module}; install it with {install_command(extra)}."
        ) from None

"""What `--sink` names: a kind of store and its place, and the store itself from that."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.model.errors import UsageError
from farm.model.record import ItemColumns
from farm.model.secret import SecretUrl
from farm.resources.installation import install_command
from farm.sinks.store import Store

if TYPE_CHECKING:
    from farm.sinks.segment_format import SegmentFormat

_SIZE = re.compile(r"([1-9]\d{0,9})(KiB|MiB|GiB)")
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_FORMULAS = re.compile("escape")
_UNFIT = re.compile(r"[\x00-\x20\x7f#*\[\]\\]")
"""Characters that a place in an object store does not have here: some tools take them for patterns."""
_FORM = re.compile(r"([a-z0-9]+)(?::(.*))?", re.DOTALL)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
_REMOTE_OPTIONS = {
    "endpoint_url": re.compile(r"https?://[^\s/?#@\\]+(?:/[^\s?#@\\]*)?"),
    "profile": re.compile(r"[\w .@/+-]{1,200}"),
    "region": re.compile(r"[a-z0-9-]{1,60}"),
}
"""What may stand after the `?` of an S3."""
FORMS = (
    "jsonl:[FILE[.gz|.zst]], csv:[FILE], sqlite:///FILE, postgresql://HOST/DATABASE, parquet:DIR, warc:DIR "
    "or stdout:; s3://BUCKET/PREFIX in place of FILE or DIR of jsonl:, parquet: and warc:"
)


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """One `--sink`; `str` of it shows no credentials.

    `path` is absolute, or None for the place in the output folder; `url` is that of a server, `remote` that of a
    folder in an object store, without its options. `kind` is empty where objects of any kind are meant.
    """

    kind: str
    path: Path | None = None
    url: SecretUrl | None = None
    remote: str = ""
    options: tuple[tuple[str, str], ...] = ()
    rotate: str = ""
    """From which size on a file is finished and another begun, as it was written."""
    formulas: str = ""
    """What is done about texts that a spreadsheet takes for formulas: nothing, or `escape`."""

    def __str__(self) -> str:
        if self.url is not None:
            return str(self.url)
        given = {"rotate": self.rotate, "formulas": self.formulas, **dict(self.options)}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value)
        kind = "sqlite:///" if self.kind == "sqlite" else f"{self.kind}:" if self.kind else ""
        return f"{kind}{self.path or self.remote}{'?' if query else ''}{query}"

    @property
    def is_secret(self) -> bool:
        """Whether a part of it must not be shown or stored."""
        return self.url is not None and str(self.url) != self.url.reveal()

    @property
    def rotate_bytes(self) -> int:
        """From which size on a file is finished; 0 for never."""
        found = _SIZE.fullmatch(self.rotate)
        return int(found[1]) * _BYTES[found[2]] if found is not None else 0

    @property
    def object_name(self) -> str:
        """What the objects of it are known by in an output folder, whatever the endpoint and the profile are."""
        return f"{self.kind}:{self.remote}"

    def reveal(self) -> str:
        """Return it with its credentials; never put that into a message."""
        return self.url.reveal() if self.url is not None else str(self)


DEFAULT = SinkAddress("jsonl")


def parse_sink(value: Any) -> SinkAddress:
    """Return what a `--sink` names; raises ValueError with what may be written."""
    if isinstance(value, SinkAddress):
        return value
    found = _FORM.fullmatch(str(value).strip())
    parse = _PARSERS.get(found[1]) if found is not None else None
    if found is None or parse is None:
        raise ValueError(f"write {FORMS}")
    if found[1] in _REMOTE_KINDS and _REMOTE.match(found[2] or ""):
        return _remote(found[1], found[2])
    return parse(found[1], found[2] or "")


def parse_object_store(value: str) -> SinkAddress:
    """Return what a URL such as `s3://BUCKET/PREFIX` names, as a sink without its kind; raises ValueError."""
    return _remote("", value.strip())


def _remote(kind: str, rest: str) -> SinkAddress:
    url, _, query = rest.partition("?")
    protocol, _, place = url.partition("://")
    protocol = "s3" if protocol == "s3a" else protocol
    form = f"write {kind}{':' if kind else ''}s3://BUCKET/PREFIX"
    if not place.strip("/") or _UNFIT.search(place) or (protocol == "s3" and place[0] == "/"):
        raise ValueError(form)
    if ":" in place.rpartition("@")[0]:
        raise ValueError(f"{form}, and give the credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    options = dict(one.partition("=")[::2] for one in query.split("&")) if query else {}
    for name, value in options.items():
        pattern = _REMOTE_OPTIONS.get(name) if protocol == "s3" else None
        if pattern is None or pattern.fullmatch(value) is None:
            raise ValueError(
                f"{form}, and after it ?endpoint_url=URL, ?region=NAME, ?profile=NAME or nothing"
            )
    return SinkAddress(kind, remote=f"{protocol}://{place.rstrip('/')}", options=tuple(options.items()))


def _file(kind: str, rest: str) -> SinkAddress:
    path, mark, query = rest.partition("?")
    options = dict(one.partition("=")[::2] for one in query.split("&")) if mark else {}
    forms = {"rotate": _SIZE, "formulas": _FORMULAS} if kind == "csv" else {"rotate": _SIZE}
    for name, value in options.items():
        if name not in forms or forms[name].fullmatch(value) is None:
            more = " or ?formulas=escape" if kind == "csv" else ""
            raise ValueError(f"write {kind}:FILE, and after it ?rotate=100MiB{more} or nothing")
    return SinkAddress(
        kind,
        _absolute(path) if path else None,
        rotate=options.get("rotate", ""),
        formulas=options.get("formulas", ""),
    )


def _stdout(kind: str, rest: str) -> SinkAddress:
    if rest:
        raise ValueError("write stdout:")
    return SinkAddress(kind)


def _sqlite(kind: str, rest: str) -> SinkAddress:
    path = rest.removeprefix("///")
    if not rest.startswith("///") or not path or path.endswith("/"):
        raise ValueError("write sqlite:///FILE, and sqlite:////FILE for a path from the root")
    return SinkAddress(kind, _absolute(path))


def _postgresql(_: str, rest: str) -> SinkAddress:
    if not rest.startswith("//"):
        raise ValueError("write postgresql://USER@HOST/DATABASE")
    return SinkAddress("postgresql", url=SecretUrl(f"postgresql:{rest}"))


def _folder(kind: str, rest: str) -> SinkAddress:
    if not rest:
        raise ValueError(f"write {kind}:DIR")
    return SinkAddress(kind, _absolute(rest))


def _absolute(path: str) -> Path:
    """Return where a path leads from here, so that a later run in another folder finds the same place."""
    if "\0" in path:
        raise ValueError("a path cannot have a NUL character")
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links stay as they are written


_PARSERS: Mapping[str, Callable[[str, str], SinkAddress]] = {
    "jsonl": _file,
    "csv": _file,
    "stdout": _stdout,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "parquet": _folder,
    "warc": _folder,
}
_REMOTE_KINDS = frozenset({"jsonl", "parquet", "warc"})
_PACKAGES: Mapping[str, tuple[str, str]] = {
    "postgresql": ("psycopg", "postgres"),
    "parquet": ("pyarrow", "parquet"),
    "s3": ("s3fs", "s3"),
    "://": ("fsspec", "s3"),
    ".zst": ("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "zstd"),
}
"""Kind, protocol or suffix of a store -> the module that it needs and the extra that brings it."""
_WITHOUT_ITEMS = frozenset({"warc"})


def check_sinks(addresses: Sequence[SinkAddress], *, have_items: bool = False) -> None:
    """Raise UsageError if two are the same place, one is not an address, or one needs a missing package.

    Also where there are items, and no sink that can hold them.
    """
    if have_items and all(one.kind in _WITHOUT_ITEMS for one in addresses):
        kinds = " and ".join(sorted({f"{one.kind}:" for one in addresses}))
        raise UsageError(
            f"--extract and handlers make items, and {kinds} cannot hold them; add --sink jsonl: or --sink sqlite:///FILE."
        )
    for number, address in enumerate(addresses):
        places = [(one.kind, one.path, one.url, one.remote) for one in addresses[: number + 1]]
        if places[-1] in places[:-1]:
            raise UsageError(f"--sink {address} is given twice; leave one out.")
        for module, extra in packages_of(address):
            try:
                importlib.import_module(module)
            except ImportError:
                raise UsageError(
                    f"--sink {address} needs the package {module}; install it with {install_command(extra)}."
                ) from None
        if address.remote:
            from farm.sinks.object_store import check_protocol

            check_protocol(f"--sink {address}", address.remote)
        if address.kind == "postgresql" and address.url is not None:
            from farm.sinks.postgres import is_address

            if not is_address(address.url):
                # What is wrong with it is not said: it could be a part of the password.
                raise UsageError(
                    f"--sink {address} is not the address of a server; "
                    "write postgresql://USER@HOST:PORT/DATABASE, with special characters in percent form."
                )


def packages_of(address: SinkAddress) -> list[tuple[str, str]]:
    """Return the modules that a sink needs, with the extras that bring them."""
    protocol = address.remote.partition("://")[0]
    needed = [address.kind, address.path.suffix if address.path is not None else "", protocol]
    if address.remote:
        needed.append("://")
    return [_PACKAGES[name] for name in needed if name in _PACKAGES]


def store_of(
    address: SinkAddress,
    folder: Path,
    private: Path,
    node: str = "node",
    item_columns: ItemColumns | None = None,
) -> Store[Any]:
    """Return the store, not opened yet; `private` is where sidecars are kept inside the output folder.

    `item_columns` are the fields that items can have; None if that is not known.
    """
    if address.kind == "sqlite" and address.path is not None:
        from farm.sinks.sqlite import SqliteStore

        return SqliteStore(address.path)
    if address.kind == "postgresql" and address.url is not None:
        from farm.sinks.postgres import PostgresStore

        return PostgresStore(address.url, item_columns)
    if address.kind == "stdout":
        from farm.sinks.standard_output import StandardOutput

        return StandardOutput()
    if address.remote or (address.kind in {"parquet", "warc"} and address.path is not None):
        return _segment_store(address, private, node, item_columns)
    if address.kind in {"jsonl", "csv"}:
        return _log_store(address, folder, private, item_columns)
    raise AssertionError(f"there is no store of the kind {address.kind!r}")


def _log_store(
    address: SinkAddress, folder: Path, private: Path, item_columns: ItemColumns | None
) -> Store[Any]:
    from farm.sinks.item_values import items_path
    from farm.sinks.items import JsonItems, LogWithItems

    rotate_bytes = address.rotate_bytes
    if address.kind == "csv":
        from farm.sinks.csv_file import CsvItems, CsvStore

        path, escapes = address.path or folder / "pages.csv", bool(address.formulas)
        return LogWithItems(
            CsvStore(path, private, escape_formulas=escapes, rotate_bytes=rotate_bytes),
            CsvItems(
                items_path(path),
                private,
                None if item_columns is None else [*item_columns],
                escape_formulas=escapes,
                rotate_bytes=rotate_bytes,
            ),
        )
    from farm.sinks.jsonl import JsonlStore

    path, index = address.path or folder / "pages.jsonl", "" if address.path else "pages.index"
    return LogWithItems(
        JsonlStore(path, private, index, rotate_bytes=rotate_bytes),
        JsonItems(items_path(path), private, rotate_bytes=rotate_bytes),
    )


def _segment_store(
    address: SinkAddress, private: Path, node: str, item_columns: ItemColumns | None
) -> Store[Any]:
    from farm.sinks.places import LocalPlace, sidecar_folder
    from farm.sinks.segments import SegmentStore

    name, form = str(address), _segment_format(address.kind, item_columns)
    if address.path is not None:
        sidecars = sidecar_folder(private, name)
        return SegmentStore(name, form, LocalPlace(address.path), address.path, sidecars, node)
    from farm.sinks.object_store import ObjectPlace

    # What is left there is found again also by another endpoint or profile.
    folder = sidecar_folder(private, address.object_name)
    place = ObjectPlace(name, address.remote, dict(address.options), folder)
    return SegmentStore(name, form, place, folder, folder, node)


def _segment_format(kind: str, item_columns: ItemColumns | None) -> "SegmentFormat":
    if kind == "parquet":
        from farm.sinks.parquet import ParquetFormat

        return ParquetFormat(item_columns)
    if kind == "jsonl":
        from farm.sinks.jsonl import JsonlFormat

        return JsonlFormat()
    from farm.sinks.warc import WarcFormat

    return WarcFormat()

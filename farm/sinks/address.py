"""What `--sink` names: a kind of store and its place, and the store itself from that."""

import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.model.errors import UsageError
from farm.model.secret import SecretUrl
from farm.sinks.batch import Store

_FORM = re.compile(r"([a-z0-9]+)(?::(.*))?", re.DOTALL)
FORMS = "jsonl:[FILE], sqlite:///FILE or postgresql://HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """One `--sink`; `str` of it shows no credentials.

    `path` is absolute, or None for the place in the output folder; `url` is that of a server.
    """

    kind: str
    path: Path | None = None
    url: SecretUrl | None = None

    def __str__(self) -> str:
        if self.url is not None:
            return str(self.url)
        slashes = "//" if self.kind == "sqlite" else ""
        return f"{self.kind}:{slashes}{'/' if slashes else ''}{self.path or ''}"

    @property
    def is_secret(self) -> bool:
        """Whether something of it must not be shown or kept."""
        return self.url is not None and str(self.url) != self.url.reveal()

    def reveal(self) -> str:
        """Return the whole of it; never put it into a message."""
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
    return parse(found[1], found[2] or "")


def _file(kind: str, rest: str) -> SinkAddress:
    return SinkAddress(kind, _absolute(rest) if rest else None)


def _sqlite(kind: str, rest: str) -> SinkAddress:
    path = rest.removeprefix("///")
    if not rest.startswith("///") or not path or path.endswith("/"):
        raise ValueError("write sqlite:///FILE, and sqlite:////FILE for a path from the root")
    return SinkAddress(kind, _absolute(path))


def _postgresql(_: str, rest: str) -> SinkAddress:
    if not rest.startswith("//"):
        raise ValueError("write postgresql://USER@HOST/DATABASE")
    return SinkAddress("postgresql", url=SecretUrl(f"postgresql:{rest}"))


def _absolute(path: str) -> Path:
    """Return where a path leads from here, so that a later run in another folder finds the same place."""
    if "\0" in path:
        raise ValueError("a path has no NUL character")
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links stay as they are written


_PARSERS: Mapping[str, Callable[[str, str], SinkAddress]] = {
    "jsonl": _file,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
}
_PACKAGES: Mapping[str, tuple[str, str]] = {"postgresql": ("psycopg", "postgres")}
"""Kind of store -> the module that it needs and the extra that brings it."""


def check_sinks(addresses: Sequence[SinkAddress]) -> None:
    """Raise UsageError where two are the same place, or one is no address or lacks a package that it needs."""
    for number, address in enumerate(addresses):
        if address in addresses[:number]:
            raise UsageError(f"--sink {address} is given twice; leave one out.")
        module, extra = _PACKAGES.get(address.kind, ("", ""))
        try:
            importlib.import_module(module or __name__)
        except ImportError:
            raise UsageError(
                f"--sink {address} needs the package {module}; "
                f"install it with `pip install 'crawl-farm[{extra}]'`."
            ) from None
        if address.url is not None:
            from farm.sinks.postgres import is_address

            if not is_address(address.url):
                # What is wrong with it is not said: it could be a part of the password.
                raise UsageError(
                    f"--sink {address} is no address of a server; write postgresql://USER@HOST:PORT/DATABASE, "
                    "with special characters in percent form."
                )


def store_of(address: SinkAddress, folder: Path, private: Path) -> Store[Any]:
    """Return the store, not opened yet; `private` is where sidecars are kept inside the output folder."""
    if address.kind == "sqlite" and address.path is not None:
        from farm.sinks.sqlite import SqliteStore

        return SqliteStore(address.path)
    if address.url is not None:
        from farm.sinks.postgres import PostgresStore

        return PostgresStore(address.url)
    from farm.sinks.jsonl import JsonlStore

    if address.path is None:
        return JsonlStore(folder / "pages.jsonl", private, "pages.index")
    return JsonlStore(address.path, private)

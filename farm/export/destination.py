"""The destinations of `--to`: a format and a file or folder, which appears completely or not at all."""

import gzip
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from farm.export.line_files import zstd_module
from farm.model.errors import OutputUnwritable, UsageError
from farm.model.text import printable_json
from farm.resources.files import whole_file, whole_folder
from farm.resources.installation import install_command

FORMS = "jsonl:FILE, csv:FILE, parquet:DIR, links:FILE or wacz:FILE"
_FORM = re.compile(r"(jsonl|csv|parquet|links|wacz):(.+)", re.DOTALL)
_STREAMS = frozenset({"jsonl", "csv", "links"})
_FORMULAS = "?formulas=escape"
_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Destination:
    """A format, and its place; `path` is None for standard output."""

    kind: str
    path: Path | None
    escape_formulas: bool = False

    def __str__(self) -> str:
        return "standard output" if self.path is None else str(self.path)

    @property
    def is_csv(self) -> bool:
        """Whether it has rows under a header; for links the file name decides."""
        name = self.path.name.removesuffix(".gz").removesuffix(".zst") if self.path is not None else ""
        return self.kind == "csv" or (self.kind == "links" and name.endswith(".csv"))


def parse_destination(value: Any) -> Destination:
    """Parse a `--to`; raises ValueError with the allowed forms."""
    if isinstance(value, Destination):
        return value
    found = _FORM.fullmatch(str(value).strip())
    if found is None or "\0" in found[2]:
        raise ValueError(f"write {FORMS}")
    kind, name = found.groups()
    escapes = kind in {"csv", "links"} and name.endswith(_FORMULAS)
    name = name.removesuffix(_FORMULAS) if escapes else name
    if name != "-":
        return Destination(kind, Path(name).expanduser(), escapes)
    if kind not in _STREAMS:
        raise ValueError(f"{kind}: needs a place; only {', '.join(sorted(_STREAMS))} go to standard output")
    return Destination(kind, None, escapes)


def check_destination(destination: Destination) -> None:
    """Raise UsageError if a package is missing that the destination needs."""
    if destination.path is None:
        return
    if destination.kind == "parquet":
        try:
            importlib.import_module("pyarrow")
        except ImportError:
            raise _missing(destination, "pyarrow", "parquet") from None
    if destination.path.suffix == ".zst" and zstd_module() is None:
        raise _missing(destination, "backports.zstd", "zstd")


class _TerminalFile(io.BufferedWriter):
    """A terminal that gets whole lines, with what could move its cursor or turn its direction as escapes.

    JSON has the same values then; CSV has no such escapes, and a terminal is no place to keep it.
    """

    def write(self, lines: Any, /) -> int:
        """Write the lines; return how many bytes they have without escapes."""
        given = bytes(lines)
        super().write(printable_json(given.decode()).encode())
        return len(given)


@contextmanager
def written(destination: Destination, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Open the file of a destination, compressed by its suffix; it appears, complete, when the context ends.

    Raises UsageError if it is there already and not to be replaced, OutputUnwritable.
    """
    path = destination.path
    with _translated(destination):
        if path is None:
            sys.stdout.flush()
            kind = _TerminalFile if os.isatty(1) else io.BufferedWriter
            with kind(io.FileIO(os.dup(1), "wb")) as out:
                yield out
            return
        with whole_file(path, replace=replace) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(path.stem, "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                    yield packed  # type: ignore[misc] # it writes as a file does
            elif path.suffix == ".zst":
                with zstd_module().ZstdFile(file, "wb") as packed:
                    yield packed
            else:
                yield file


@contextmanager
def written_folder(destination: Destination, suffix: str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder for the files of a destination; it appears when the context ends. Raises like `written`."""
    if destination.path is None:
        raise AssertionError("a folder has a path")
    with _translated(destination), whole_folder(destination.path, suffix, replace=replace) as folder:
        yield folder


@contextmanager
def _translated(destination: Destination) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        remedy = "remove it, name another place, or replace it by --force"
        raise UsageError(f"--to {destination} exists already; {remedy}.") from None
    except BlockingIOError:
        raise UsageError(
            f"--to {destination} is being written by another export; wait for its end."
        ) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputUnwritable(
            f"{destination} cannot be written ({error.strerror or error}); "
            "free some space and check its permissions, or name another place."
        ) from None


def _missing(destination: Destination, package: str, extra: str) -> UsageError:
    return UsageError(
        f"--to {destination} needs the package {package}; install it with {install_command(extra)}."
    )

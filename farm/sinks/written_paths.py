"""Which files the sinks of a run write: no two may write one, and none what the farm itself keeps beside them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from farm.model.errors import UsageError
from farm.sinks.address import SinkAddress
from farm.sinks.item_values import items_path
from farm.sinks.log_file import name_parts

OWN = ("skipped.jsonl", "summary.json", "farm.log")
"""What a run writes into its output folder whatever the sinks are."""
_SQLITE = ("", "-wal", "-shm", "-journal")
_NUMBER = re.compile(r"-[0-9]{6,9}")
_REMEDY = "name another FILE"


def check_paths(addresses: Sequence[SinkAddress], folder: Path) -> None:
    """Raise UsageError where two sinks would write one file, or one a file that the farm writes itself.

    `folder` is the output folder.
    """
    own = {_real(folder / name) for name in OWN}
    written: dict[Path, SinkAddress] = {}
    for address in addresses:
        for path in _paths(address, folder):
            if path in own:
                raise UsageError(
                    f"--sink {address} would write {path}, which the farm writes itself; {_REMEDY}."
                )
            other = written.setdefault(path, address)
            if other is not address:
                raise UsageError(f"--sink {other} and --sink {address} would both write {path}; {_REMEDY}.")
    for address in addresses:
        if address.rotate:
            for path, other in written.items():
                if any(_is_finished(path, of) for of in _paths(address, folder)):
                    raise UsageError(
                        f"--sink {address} would rename a file to {path}, and --sink {other} writes it; {_REMEDY}."
                    )


def _paths(address: SinkAddress, folder: Path) -> Iterator[Path]:
    """Yield the files of a sink, whether it writes all of them or not."""
    if address.kind in {"jsonl", "csv"} and not address.remote:
        path = address.path or folder / f"pages.{address.kind}"
        yield _real(path)
        yield _real(items_path(path))
    elif address.kind == "sqlite" and address.path is not None:
        for suffix in _SQLITE:
            yield _real(address.path.with_name(f"{address.path.name}{suffix}"))


def _real(path: Path) -> Path:
    """Return where a file is, whatever links lead to its folder."""
    return path.absolute().parent.resolve() / path.name


def _is_finished(path: Path, of: Path) -> bool:
    """Return whether the path is that of a file that a rotation has finished."""
    stem, suffix = name_parts(of.name)
    middle = path.name.removeprefix(stem).removesuffix(suffix)
    return (
        path.parent == of.parent
        and path.name == f"{stem}{middle}{suffix}"
        and bool(_NUMBER.fullmatch(middle))
    )

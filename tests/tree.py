"""The project's own files, without asking git: a set-up machine need not have it."""

import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
_MADE = {"__pycache__", "crawls", "out", "bench-results", "dist", "build", "node_modules"}


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is not made by working with the project."""
    files: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = sorted(
            name for name in folders if name not in _MADE and (not name.startswith(".") or name == ".ci")
        )
        files += [here / name for name in sorted(names) if not name.startswith(".") or name == ".gitignore"]
    return tuple(files)


def relative(path: Path) -> str:
    """Return how a file is called in a message."""
    return path.relative_to(ROOT).as_posix()

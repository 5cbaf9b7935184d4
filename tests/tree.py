"""The project's own files, without asking git: a set-up machine need not have it."""

import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
_MADE = {"__pycache__", "node_modules"}
_MADE_AT_THE_ROOT = {"crawls", "out", "bench-results", "dist", "build"}


def walk(root: Path) -> tuple[Path, ...]:
    """Return every file below a project's root that is not made by working with the project, sorted by folder."""
    files: list[Path] = []
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        made = _MADE | _MADE_AT_THE_ROOT if here == root else _MADE
        folders[:] = sorted(
            name for name in folders if name not in made and (not name.startswith(".") or name == ".ci")
        )
        files += [here / name for name in sorted(names) if not name.startswith(".") or name == ".gitignore"]
    return tuple(files)


@cache
def project_files() -> tuple[Path, ...]:
    """Return the files of this project, as `walk` does."""
    return walk(ROOT)


def relative(path: Path) -> str:
    """Return how a file is called in a message."""
    return path.relative_to(ROOT).as_posix()

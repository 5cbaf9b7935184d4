"""`farm init`: write a small project that runs without changes: handlers, options, tests, and a Dockerfile."""

import shlex
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from farm import __version__
from farm.cli.streams import print_lines
from farm.model.errors import OutputUnwritable, UsageError
from farm.model.url import HashRoutes
from farm.scope.seeds import given_seeds
from farm.settings.commands import InitSettings
from farm.settings.load import load

EXAMPLE = "https://example.com/"
"""A site that is reserved for examples."""
_SUFFIX = ".template"
_NAME_CHARS = 60


def main(arguments: Sequence[str]) -> int:
    """Write the project and print the next steps; return the exit code."""
    settings = load(
        InitSettings, arguments, "farm init", "Write a small project: handlers, options, tests, a Dockerfile."
    )
    folder, url = _places(settings.places)
    write_project(folder, url)
    into = [] if folder == Path() else [f"cd {shlex.quote(str(folder))}"]
    print_lines(
        [f"a project is in {folder.resolve()}; go on with:", *(f"  {one}" for one in [*into, "farm run"])]
    )
    return 0


def write_project(folder: Path, url: str) -> None:
    """Write the files of a project with this first URL; raises UsageError if one of them exists."""
    named = "".join(
        char if char.isascii() and char.isalnum() else "-" for char in folder.resolve().name.lower()
    )
    words = {"{name}": named.strip("-")[:_NAME_CHARS] or "crawl", "{url}": url, "{version}": __version__}
    texts = {}
    for name, template in _templates(files("farm.cli") / "project", PurePosixPath()):
        text = template.read_text("utf-8")
        for word, meant in words.items():
            text = text.replace(word, meant)
        texts[folder / name] = text
    if there := sorted(path.relative_to(folder) for path in texts if path.exists()):
        raise UsageError(
            f"{folder.resolve()} has {', '.join(map(str, there[:3]))} already, and nothing was written; name "
            "another folder: `farm init DIR`."
        )
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise OutputUnwritable(
            f"{error.filename or folder.resolve()} cannot be written ({error.strerror}); free some space, or name "
            "another folder: `farm init DIR`."
        ) from None


def _places(given: Sequence[str]) -> tuple[Path, str]:
    """Return the folder and the first URL; raises UsageError for other arguments."""
    urls = [one for one in given if "://" in one]
    folders = [one for one in given if "://" not in one]
    if len(urls) > 1 or len(folders) > 1:
        raise UsageError("write `farm init`, `farm init DIR` or `farm init DIR URL`.")
    seeds, _ = given_seeds(urls or [EXAMPLE], None, hash_routes=HashRoutes.ON, keep_params=())
    return Path(folders[0] if folders else ""), seeds[0].url


def _templates(folder: Traversable, name: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    """Yield each file of the project by its name."""
    for one in folder.iterdir():
        if one.is_dir():
            yield from _templates(one, name / one.name)
        elif one.name.endswith(_SUFFIX):
            yield name / one.name.removesuffix(_SUFFIX), one

"""How the farm is installed, and so the command that installs an extra of it.

From a package index it is known by its name. From a clone it is not: pip would look for that name in the index,
and find nothing, or another program. Installers note the folder in `direct_url.json` (PEP 610).
"""

import json
import shlex
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from farm.model.url import path_of

NAME = "crawl-farm"


def install_command(extra: str) -> str:
    """Return the command that installs an extra of the farm, in backticks."""
    return f"`{command_of(_direct_url(), extra)}`"


def command_of(direct_url: Any, extra: str) -> str:
    """Return the command that installs an extra, by the contents of `direct_url.json`; None where there is none.

    Where the folder that was installed is not there any more, as in an image, it is that of the package index.
    """
    folder, is_editable = _folder(direct_url)
    if folder is None or not (folder / "pyproject.toml").is_file():
        return f"pip install '{NAME}[{extra}]'"
    # Quoted always: a shell takes brackets for a pattern.
    text = f"{folder}[{extra}]"
    quoted = shlex.quote(text) if "'" in text else f"'{text}'"
    return f"pip install {'-e ' if is_editable else ''}{quoted}"


def _folder(direct_url: Any) -> tuple[Path | None, bool]:
    """Return the folder from which the farm was installed, None if from elsewhere, and whether it is editable."""
    if not isinstance(direct_url, dict) or not isinstance(direct_url.get("dir_info"), dict):
        return None, False
    url = str(direct_url.get("url"))
    path = path_of(url) if url.startswith("file:") else ""
    return (Path(unquote(path)), direct_url["dir_info"].get("editable") is True) if path else (None, False)


@cache
def _direct_url() -> Any:
    try:
        return direct_url_of(distribution(NAME))
    except PackageNotFoundError:
        return None


def direct_url_of(found: Distribution) -> Any:
    """Return what the installer noted of where a distribution comes from; None if nothing that can be read."""
    try:
        text = found.read_text("direct_url.json")
        return None if text is None else json.loads(text)
    except (OSError, ValueError):
        return None

"""The peers' environments and the pages' React, made once under `.bench/` by pip and npm.

Versions are pinned: a figure is meaningful only for a known version.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".bench"
PYTHON_PEERS = {
    "crawlee": ("crawlee[playwright]==1.11.0",),
    "crawl4ai": ("crawl4ai==0.9.5",),
    "scrapy-playwright": ("scrapy-playwright==0.0.48", "scrapy==2.19.0"),
}
NODE_PEERS = {"puppeteer-cluster": ("puppeteer-cluster@0.25.0", "puppeteer-core@24.43.1")}
REACT = ("react@18.3.1", "react-dom@18.3.1")
REACT_FILES = ("react/umd/react.production.min.js", "react-dom/umd/react-dom.production.min.js")
INSTALL_S = 600.0


class NotInstallable(Exception):
    """A peer's environment cannot be created; the others can still be measured."""


def react_files() -> list[Path]:
    """Return React's two files, installing them if needed."""
    folder = _node("react", REACT)
    return [folder / "node_modules" / name for name in REACT_FILES]


def prepare(peer: str) -> Path:
    """Return the interpreter (Python's peers) or the folder (Node's); raises NotInstallable."""
    if peer in PYTHON_PEERS:
        return _python(peer, PYTHON_PEERS[peer])
    return _node(peer, NODE_PEERS[peer])


def version(peer: str) -> str:
    """Return which version of a peer is measured."""
    wanted = (PYTHON_PEERS | NODE_PEERS).get(peer)
    return wanted[0].replace("==", "@").rpartition("@")[2] if wanted else ""


def _python(name: str, packages: tuple[str, ...]) -> Path:
    folder = CACHE / name
    python = folder / "bin" / "python"
    if not _is_made(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        _install(name, [str(python), "-m", "pip", "install", "--quiet", *packages], folder)
        _note(folder, packages)
    return python


def _node(name: str, packages: tuple[str, ...]) -> Path:
    folder = CACHE / name
    if not _is_made(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        _install(name, ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], folder)
        _note(folder, packages)
    return folder


def _install(name: str, command: list[str], folder: Path) -> None:
    print(f"installing {name}: once, into {folder}", file=sys.stderr, flush=True)
    # All use the farm's browser: none may download its own.
    environment = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=False,
            timeout=INSTALL_S,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(f"{name} cannot be installed: {error}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotInstallable(f"{name} cannot be installed: {' '.join(last)}")


def _is_made(folder: Path, packages: tuple[str, ...]) -> bool:
    try:
        return bool(json.loads((folder / "installed.json").read_text()) == list(packages))
    except (OSError, ValueError):
        return False


def _note(folder: Path, packages: tuple[str, ...]) -> None:
    (folder / "installed.json").write_text(json.dumps(packages))

"""Playwright's Node driver: started as a process that the farm owns, with cheaper messages.

Playwright starts whatever `PLAYWRIGHT_NODEJS_PATH` names, in the farm's own process group and with the farm's
environment. The launcher written here
- gives the driver a session of its own, so that Ctrl-C in a terminal reaches the farm alone and a drain can
  still use the browser;
- drops environment variables that the driver does not need, since they may hold secrets;
- keeps the driver's error output off the terminal and out of the live view;
- puts temporary files into the engine's folder;
- writes the driver's process id to a file, so that the owner need not guess which child it is.

Two measures that Playwright does not offer make messages cheaper: `quiet.cjs` drops, in the driver, events that no
tab reads, and puts the farm's scripts into messages only where these leave for the browser; `use_orjson` encodes
and decodes messages faster. Under a version of Playwright that is built differently, neither does anything.

The scripts for pages are sent anew for each document, through two processes of the browser, so each byte counts:
they are sent without comments and indentation. Those that read a page are sent to the driver as a placeholder.
"""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from inspect import getfile
from pathlib import Path
from typing import Any

import orjson
import playwright

from farm.model.secret import KEPT

_PARTS = ("quiet.cjs", "page_errors.cjs", "outgoing.cjs", "watch.cjs")
_NO_SCRIPTS = "const SCRIPTS = {};"
_NO_REQUESTS = "const REQUESTS = new Set([]);"
QUIET = "".join(files("farm.browser").joinpath(f"js/{name}").read_text(encoding="utf-8") for name in _PARTS)
"""A script that the driver loads first: it drops events that no tab reads, and reports errors of pages."""
LAUNCHER = """#!{python} -IS
import os
os.setsid()
os.dup2(os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
with open({pid_file!r}, "w") as file:
    file.write(str(os.getpid()))
names = {names!r}
kept = {{k: v for k, v in os.environ.items() if k in names}}
kept["TMPDIR"] = {folder!r}
os.execve({node!r}, [{node!r}, "--require", {quiet!r}, *__import__("sys").argv[1:]], kept)
"""
SHEBANG_LIMIT = 120
NODE_VARIABLE = "PLAYWRIGHT_NODEJS_PATH"


def script(*names: str) -> str:
    """Return these files of `js/`, joined; no text in them spans lines, so each line stands for itself."""
    folder = files("farm.browser").joinpath("js")
    lines = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names).splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line for line in stripped if line and not line.startswith("//"))


READING = script("native.js", "settle.js", "text.js", "metadata.js", "collect.js", "bounded.js")
ACTING, LISTING = script("act.js"), script("images.js")
# No page can know it: what a page says passes the driver too.
_SECRET = secrets.token_hex(16)
MARKED = {f"/*{_SECRET}:{number}*/": source for number, source in enumerate((READING, ACTING, LISTING))}
"""The scripts by the marks that stand for them, comments of JavaScript: what is not replaced does nothing."""
READING_MARK, ACTING_MARK, LISTING_MARK = MARKED


def node_path() -> str:
    """Return the path of the Node.js that Playwright runs: the user's choice, else the bundled one."""
    return os.environ.get(NODE_VARIABLE) or str(Path(getfile(playwright)).parent / "driver" / "node")


def write_launcher(folder: Path, node: str, requests: Iterable[str] = ()) -> Path:
    """Write the launcher of `node` into the engine's folder; return its path.

    `requests` are the types of requests, as CDP has them, of which tabs hear besides documents and scripts.
    """
    quiet = folder / "quiet.cjs"
    heard = QUIET.replace(_NO_REQUESTS, f"const REQUESTS = new Set({json.dumps([*requests])});", 1)
    quiet.write_text(_with_scripts(heard, MARKED), encoding="utf-8")
    source = LAUNCHER.format(
        python=sys.executable,
        log=str(folder / "driver.log"),
        pid_file=str(_pid_file(folder)),
        folder=str(folder),
        node=node,
        quiet=str(quiet),
        names=KEPT,
    )
    launcher = folder / "driver"
    if len(sys.executable) > SHEBANG_LIMIT or " " in sys.executable:
        # The kernel truncates long shebangs and splits at spaces: start the interpreter from a shell.
        program = folder / "driver.py"
        program.write_text(source)
        source = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(program))} "$@"\n'
    launcher.write_text(source)
    launcher.chmod(0o700)
    return launcher


def _with_scripts(quiet: str, marked: Mapping[str, str]) -> str:
    """Return the driver's script that knows what the marks stand for, as it stands within a string of JSON."""
    within = {mark: json.dumps(source)[1:-1] for mark, source in marked.items()}
    return quiet.replace(_NO_SCRIPTS, f"const SCRIPTS = {json.dumps(within)};", 1)


def driver_pid(folder: Path) -> int:
    """Return the driver's process id; raises OSError or ValueError before it has started."""
    return int(_pid_file(folder).read_text())


def _pid_file(folder: Path) -> Path:
    return folder / "driver.pid"


def decoded(text: str | bytes) -> Any:
    """Return the decoded JSON, with lone surrogates, as pages produce them, unchanged. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def use_orjson(manager: object) -> bool:
    """Encode and decode the driver's messages with orjson. Returns False if this Playwright does not allow it."""
    transport = getattr(getattr(manager, "_client", None), "_transport", None)
    own: Callable[[Any], bytes] | None = getattr(transport, "serialize_message", None)
    if own is None or not hasattr(transport, "deserialize_message"):
        return False

    def encoded(message: Any) -> bytes:
        try:
            return orjson.dumps(message)
        except orjson.JSONEncodeError:
            return own(message)

    vars(transport).update(serialize_message=encoded, deserialize_message=decoded)
    return True

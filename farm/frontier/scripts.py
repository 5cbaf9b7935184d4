"""The Lua transitions as they are sent: a file of `lua/` with the parts of `lua/lib/` that it uses.

A file is one transition and opens with its contract, of which the parts are put in front of it by `-- Uses:`, and
by `-- Uses here:` where a block of it needs them; a contract that is missing or a part that does not
exist is an error at import, so that no script without one reaches a server.
"""

import re
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable

_FIELDS = ("Purpose", "Guarantee", "KEYS", "ARGV", "Returns", "Uses")
_FIELD = re.compile(r"^-- (\w+):[ \t]*(.*)$", re.MULTILINE)
_SHEBANG = re.compile(r"#!lua(?: flags=(?P<flags>[a-z,-]+))?\n")

_LITERAL = r"(?:'[^'\n]*'|[0-9][0-9.e]*)"
_CONSTANTS = re.compile(
    rf"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ({_LITERAL}(?:, {_LITERAL})*)$", re.MULTILINE
)
_VALUE = re.compile(_LITERAL)
_HERE = re.compile(r"^ *-- Uses here: ([a-z_ ]+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)
_WORD = re.compile(r"'(?:[^'\\]|\\.)*'|--[^\n]*|\b[A-Z][A-Z_]*\b")


class BadScript(ValueError):
    """A script file breaks the rules for headers."""


@dataclass(frozen=True, slots=True)
class Script:
    """One transition: its text, and the digest by which the server knows it."""

    name: str
    text: str
    flags: frozenset[str]

    @property
    def sha(self) -> str:
        """What EVALSHA is sent."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def compose(name: str, body: str, parts: dict[str, str]) -> Script:
    """Check a script's header and put the parts that it uses in front of its body."""
    shebang = _SHEBANG.match(body)
    if not shebang:
        raise BadScript(f"{name}.lua does not begin with #!lua")
    header = {match[1]: match[2].strip() for match in _FIELD.finditer(body)}
    missing = [field for field in _FIELDS if field not in header]
    if missing:
        raise BadScript(f"{name}.lua lacks {', '.join(missing)} in its header")
    uses = header["Uses"].split()
    text = "\n".join([*(parts.get(part, "") for part in uses), body[shebang.end() :]])
    flags = frozenset((shebang["flags"] or "").split(",")) - {""}
    # Functions that few calls need are made where they are needed: each costs as much as half a command of Redis.
    while later := " ".join(_HERE.findall(text)).split():
        uses += later
        text = _HERE.sub(lambda here: "\n".join(parts.get(part, "") for part in here[1].split()), text)
    unknown = [part for part in uses if part not in parts]
    if unknown:
        raise BadScript(f"{name}.lua uses {', '.join(unknown)}, of which there is no file")
    return Script(name, shebang[0] + declare_functions_first(put_constants_in_place(text)), flags)


def put_constants_in_place(text: str) -> str:
    """Replace the names in capitals that a script declares by their values.

    Lua pays for a local of the script in every function that uses it, at every call; a constant is free.
    """
    constants: dict[str, str] = {}
    for names, values in _CONSTANTS.findall(text):
        constants.update(zip(names.split(", "), _VALUE.findall(values), strict=True))
    return _WORD.sub(lambda word: constants.get(word[0], word[0]), _CONSTANTS.sub("", text))


def declare_functions_first(text: str) -> str:
    """Put the names of all functions in front of the variables that they share.

    To capture a variable Lua walks from the last one declared back to it, for each function, at every call.
    """
    names = ", ".join(_FUNCTION.findall(text))
    return f"local {names}\n" + _FUNCTION.sub(lambda f: f"function {f[1]}", text) if names else text


def _read(folder: Traversable) -> dict[str, str]:
    return {f.name[:-4]: f.read_text() for f in folder.iterdir() if f.name.endswith(".lua")}


_FOLDER = files("farm.frontier") / "lua"
PARTS = _read(_FOLDER / "lib")
SCRIPTS = {name: compose(name, body, PARTS) for name, body in sorted(_read(_FOLDER).items())}
SHAS = {name: script.sha for name, script in SCRIPTS.items()}

"""The library of Lua transitions: the files of `lua/` and their parts of `lua/lib/`.

A file is one transition and opens with its contract. A part says `-- Uses: part (functions)` in its header, and is
placed after the parts that it uses. A missing contract, an undeclared use, parts that use each other, and a part
that does more at loading than declare are errors at import, so that no such script reaches a server. The library
and its functions are named after their text, so that nodes of different versions can share a server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable

_FIELDS = ("Purpose", "Guarantee", "KEYS", "ARGV", "Returns")
_FIELD = re.compile(r"^-- (\w+):[ \t]*(.*)$", re.MULTILINE)
_SHEBANG = re.compile(r"#!lua(?: flags=(?P<flags>[a-z,-]+))?\n")

_LITERAL = r"(?:'[^'\n]*'|[0-9][0-9.e]*)"
_CONSTANTS = re.compile(
    rf"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ({_LITERAL}(?:, {_LITERAL})*)$", re.MULTILINE
)
_VALUE = re.compile(_LITERAL)
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)
_VARIABLES = re.compile(r"^local (\w+(?:, \w+)*)$", re.MULTILINE)
_DONE_AT_LOADING = re.compile(r"^(?!local function |end$|--)\S.*$", re.MULTILINE)
_USES = re.compile(r"^-- Uses:((?:[^\n]*\n--  )*[^\n]*)$", re.MULTILINE)
_USED = re.compile(r"(\w+) \(([^)]*)\)")
_CALL = re.compile(r"(?<![.:\w])(?<!function )([a-z]\w*)\(")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'")
_REST_OF_LINE = re.compile(r"--.*$", re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_WORD = re.compile(r"'(?:[^'\\]|\\.)*'|--[^\n]*|\b[A-Z][A-Z_]*\b")

_GIVEN = {"KEYS": "keys", "ARGV": "args", "call": "redis.call"}
"""The arguments of each call; every other variable of the parts starts as nil."""


class BadScript(ValueError):
    """A script file breaks the rules."""


@dataclass(frozen=True, slots=True)
class Library:
    """Functions of one text: FUNCTION LOAD takes the text, FCALL the name of a function."""

    name: str
    text: str
    flags: Mapping[str, frozenset[str]]
    """Script -> its flags."""

    def function(self, script: str) -> str:
        """Return the arguments of FCALL."""
        return f"{self.name}_{script}"


def compose(bodies: Mapping[str, str], parts: Mapping[str, str]) -> Library:
    """Check the scripts and their parts, and combine them into one library."""
    text = "\n".join(parts.values())
    variables = [name for names in _VARIABLES.findall(text) for name in names.split(", ")]
    _refuse_what_would_stay(bodies, parts, variables, _FUNCTION.findall(text))
    # The variables come first, since each script gives all of them their values.
    text = _VARIABLES.sub("", "\n".join(in_order(parts).values()))
    anew = [name for name in variables if name not in _GIVEN]
    begin = f"{', '.join([*_GIVEN, *anew])} = {', '.join(_GIVEN.values())}"
    flags: dict[str, frozenset[str]] = {}
    for name, body in bodies.items():
        shebang = _checked(name, body)
        flags[name] = frozenset((shebang["flags"] or "").split(",")) - {""}
        quoted = ", ".join(f"'{flag}'" for flag in sorted(flags[name]))
        text += (
            f"\nredis.register_function{{function_name = '@_{name}', flags = {{ {quoted} }}, "
            f"callback = function(keys, args)\n{begin}\n{body[shebang.end() :]}end}}\n"
        )
    # What explains it stays here: a server keeps the text in memory and writes it to its log.
    text = _COMMENT.sub("", put_constants_in_place(f"local {', '.join(variables)}\n{text}"))
    own = f"farm_{sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]}"
    return Library(own, f"#!lua name={own}\n" + text.replace("'@_", f"'{own}_"), flags)


def _refuse_what_would_stay(
    bodies: Mapping[str, str], parts: Mapping[str, str], variables: list[str], functions: list[str]
) -> None:
    """Raise BadScript if a call could leave state to the next one, or a name has two meanings."""
    for name, part in parts.items():
        if line := _DONE_AT_LOADING.search(_VARIABLES.sub("", _CONSTANTS.sub("", part))):
            raise BadScript(f"{name}.lua does more at loading than declare: {line[0]}")
    for name in {*variables, *functions}:
        if (variables + functions).count(name) > 1:
            raise BadScript(f"{name} is declared twice")
    assigned = re.compile(rf"^(?! *local ).*?\b({'|'.join(functions) or '$.'})(?:, \w+)* = .*$", re.MULTILINE)
    # As pairs, since a script and a part may have the same name.
    for name, text in [*parts.items(), *bodies.items()]:
        if line := assigned.search(_COMMENT.sub("", text)):
            raise BadScript(f"{name}.lua replaces {line[1]} for every call to come: {line[0].strip()}")


def in_order(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts so that each comes behind those it uses.

    Raises BadScript if a part calls a function that its header does not name, names one that it does not call,
    calls one above its declaration, or where parts use each other.
    """
    owners = {function: name for name, text in parts.items() for function in _FUNCTION.findall(text)}
    needs: dict[str, set[str]] = {}
    for name, text in parts.items():
        said = _said_uses(name, text)
        code = _REST_OF_LINE.sub("", _STRING.sub("''", _COMMENT.sub("", text)))
        used = {(owners[call], call) for call in _CALL.findall(code) if owners.get(call, name) != name}
        if missing := sorted(used - said):
            raise BadScript(
                f"{name}.lua uses {missing[0][1]} of {missing[0][0]}, and its header does not say so"
            )
        if stale := sorted(said - used):
            raise BadScript(f"{name}.lua says that it uses {stale[0][1]} of {stale[0][0]}, and does not")
        _refuse_early_calls(name, code)
        needs[name] = {owner for owner, _ in used}
    try:
        return {name: parts[name] for name in TopologicalSorter(needs).static_order()}
    except CycleError as error:
        raise BadScript(f"parts use each other: {', '.join(error.args[1])}") from None


def _said_uses(name: str, text: str) -> set[tuple[str, str]]:
    """Return the pairs of part and function that a part's header names."""
    line = _USES.search(text)
    if line is None:
        return set()
    said = " ".join(line[1].replace("\n--", " ").split())
    if _USED.sub("", said).strip(" ,"):
        raise BadScript(f"{name}.lua has a line of uses that is not `-- Uses: part (functions), ...`")
    return {
        (part, function.strip())
        for part, functions in _USED.findall(said)
        for function in functions.split(",")
    }


def _refuse_early_calls(name: str, code: str) -> None:
    """Raise where a part calls a function of its own above the line that declares it: there it would be nil."""
    for declared in _FUNCTION.finditer(code):
        if declared[1] in _CALL.findall(code[: declared.start()]):
            raise BadScript(f"{name}.lua uses {declared[1]} above its declaration")


def _checked(name: str, body: str) -> re.Match[str]:
    shebang = _SHEBANG.match(body)
    if not shebang:
        raise BadScript(f"{name}.lua does not begin with #!lua")
    header = {match[1] for match in _FIELD.finditer(body)}
    if missing := [field for field in _FIELDS if field not in header]:
        raise BadScript(f"{name}.lua lacks {', '.join(missing)} in its header")
    return shebang


def put_constants_in_place(text: str) -> str:
    """Replace the names in capitals that a script declares by their values.

    A function of Lua holds at most sixty variables of others; a constant is none, and free.
    """
    constants: dict[str, str] = {}
    for names, values in _CONSTANTS.findall(text):
        for name, value in zip(names.split(", "), _VALUE.findall(values), strict=True):
            if constants.setdefault(name, value) != value:
                raise BadScript(f"{name} is both {constants[name]} and {value}")
    return _WORD.sub(lambda word: constants.get(word[0], word[0]), _CONSTANTS.sub("", text))


def _read(folder: Traversable) -> dict[str, str]:
    return {
        f.name[:-4]: f.read_text()
        for f in sorted(folder.iterdir(), key=lambda f: f.name)
        if f.name.endswith(".lua")
    }


_FOLDER = files("farm.frontier") / "lua"
PARTS = _read(_FOLDER / "lib")
SCRIPTS = _read(_FOLDER)
LIBRARY = compose(SCRIPTS, PARTS)

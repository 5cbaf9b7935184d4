"""The architecture's rules that no linter knows: sizes, words, sleeps, contracts, and what the files may name."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.tree import ROOT, project_files, relative

LONGEST = 350
REAL_TIME = {
    "tests/frontier/test_server_faults.py",  # an outage of a minute, marked slow
    "tests/frontier/test_storm.py",  # the rhythm of the kills, marked slow
    "tests/frontier/worker_process.py",  # waits for as long as the frontier says
}
"""Where time really has to pass; each with its reason."""
NOT_USED = {"manager", "helper", "helpers", "util", "utils", "common", "misc"}

MODULES = [path for path in project_files() if path.suffix == ".py"]
LUA = [path for path in project_files() if path.suffix == ".lua"]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _definitions(path: Path) -> Iterator[tuple[str, str]]:
    yield "module", path.stem
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name


def _words(name: str) -> set[str]:
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_"))


def _sleeping(path: Path) -> Iterator[int]:
    """Yield the lines on which a module sleeps, unless it polls up to a deadline."""
    tree = _tree(path)
    polls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.While) and re.search(r"deadline|monotonic\(\) <", ast.unparse(node))
    ]
    excused = {id(node) for loop in polls for node in ast.walk(loop)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}:
            to_the_loop = [ast.unparse(argument) for argument in node.args] == ["0"]
            if not to_the_loop and id(node) not in excused:
                yield node.lineno


def test_no_module_is_too_long() -> None:
    """A module that needs more lines has more than one purpose."""
    suffixes = {".py", ".lua", ".js", ".sh", ".css"}
    files = [path for path in project_files() if path.suffix in suffixes]
    long = {relative(path): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_every_module_says_what_it_is_for() -> None:
    """In a docstring; only the empty `__init__` of a folder of tests has nothing to say."""
    silent = [path for path in MODULES if not ast.get_docstring(_tree(path))]
    markers = {path for path in silent if path.name == "__init__.py" and path.is_relative_to(ROOT / "tests")}
    assert [relative(path) for path in silent if path not in markers] == []


def test_words_that_say_nothing_are_not_used() -> None:
    """No manager, helper or util; a handler is a user's page handler; nothing is called `process`."""
    found = [
        f"{relative(path)}: {kind} {name}"
        for path in MODULES
        for kind, name in _definitions(path)
        if NOT_USED & _words(name)
        or ("handler" in _words(name) and not {"extract", "api"} & {*path.parts})
        or (kind == "function" and name == "process")
    ]
    assert found == []


def test_one_class_name_has_one_meaning() -> None:
    """In the whole product: a port and its adapter have names of their own, too."""
    named: dict[str, list[str]] = {}
    for path in MODULES:
        if relative(path).startswith("farm/"):
            for kind, name in _definitions(path):
                if kind == "class" and not name.startswith("_"):
                    named.setdefault(name, []).append(relative(path))
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}


def test_no_test_sleeps() -> None:
    """A test waits for an event or moves a clock; what another process does is polled, up to a deadline."""
    tests = [
        path for path in MODULES if path.is_relative_to(ROOT / "tests") and relative(path) not in REAL_TIME
    ]
    found = [f"{relative(path)}:{line}" for path in tests for line in _sleeping(path)]
    assert found == []


def test_throttling_statuses_stand_in_one_place() -> None:
    """What is throttling is said once; the signs of a block are another matter."""
    statuses = {429, 503}
    found = {
        relative(path)
        for path in MODULES
        if relative(path).startswith("farm/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and node.value in statuses and type(node.value) is int
    }
    assert found == {"farm/policy/retry.py", "farm/detect/rules.py"}


def test_urls_are_taken_apart_in_one_place() -> None:
    """Whoever cuts one by hand decides by himself what a URL without a path, or with a port, means."""
    by_hand = re.compile(r"""\.split\(["']/["'], [23]\)|\burl(split|parse)\(""")
    of_pages = [
        path
        for path in MODULES
        if relative(path).startswith("farm/") and not relative(path).startswith("farm/frontier/")
    ]
    found = {relative(path) for path in of_pages if by_hand.search(path.read_text("utf-8"))}
    assert found == {
        "farm/model/url.py",
        "farm/scope/canonical.py",  # makes the canonical form
        "farm/egress/fetch.py",  # makes a request of a URL
        "farm/egress/document_client.py",  # makes a request of a URL
        "farm/egress/upstream.py",  # a proxy's address
        "farm/egress/poster.py",  # an address of the user's own
    }


def test_an_engine_alone_writes_its_state() -> None:
    """Whoever watches it tells it what happened: three classes wrote to it, and none could say what held."""
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if relative(path).startswith("farm/browser/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value).rpartition(".")[2] in {"engine", "slot", "usage"}
    ]
    assert found == []


def test_the_import_contracts_are_kept() -> None:
    """Who may import whom, and who alone knows Redis and Playwright."""
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_composition_root_has_no_loop_and_no_task_of_its_own() -> None:
    """It joins ports and adapters: what waits, repeats or runs beside the rest belongs to a package."""
    acting = {"asyncio.sleep", "asyncio.create_task", "asyncio.ensure_future"}
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if relative(path).startswith("farm/app/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.While | ast.AsyncFor)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in acting)
    ]
    assert found == []


def test_the_frontier_is_reached_by_its_facade() -> None:
    """Whoever builds or steers a run asks `RedisFrontier`: its shards and its client are its own."""
    hidden, adapters = (
        {"shards", "client"},
        {
            *("ActiveFeeders", "DeadLetters", "NodeRegistry", "RedisFlowStore", "RedisPaceStore"),
            *("RedisSharedCache", "SharedBans", "SharedScope", "Shards"),
        },
    )
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        if relative(path).startswith(("farm/app/", "farm/cli/"))
        for node in ast.walk(_tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in hidden)
        or (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in adapters)
    ]
    assert found == []


def test_lua_is_in_files_and_nowhere_else() -> None:
    """A transition of the farm's stands in its own file, so that its contract stands on it."""
    calls = re.compile(r"redis\.(call|pcall)\(")
    farm = [path for path in MODULES if relative(path).startswith("farm/")]
    assert [relative(path) for path in farm if calls.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("path", [p for p in LUA if p.parent.name == "lua"], ids=lambda path: path.stem)
def test_every_transition_opens_with_its_contract(path: Path) -> None:
    """What it is for, what it guarantees, its keys, arguments and answers."""
    opening = re.match(r"#!lua[^\n]*\n((?:--[^\n]*\n)+)", path.read_text("utf-8"))
    assert opening is not None, "it must begin with #!lua and a comment"
    fields = re.findall(r"^-- (\w+):[ \t]*\S", opening[1], re.MULTILINE)
    assert [name for name in ("Purpose", "Guarantee", "KEYS", "ARGV", "Returns") if name not in fields] == []


# Written in pieces, so that this file does not name them either.
_MACHINE = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:work|home|Users)/[a-z]\w*/",
            r"(?<![\w.])/root/\.",
            r"/opt/(?:wheels|pypi)",
            r"py" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"registry\.npm" + r"js\.org",
            r"(?:deb|security)\.debi" + r"an\.org",
        ]
    )
)


def test_no_file_names_a_machine_or_an_index_of_packages() -> None:
    """The project installs from whatever index the machine has, and lives in any folder."""
    found = []
    for path in project_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {match[0]}" for match in _MACHINE.finditer(text)]
    assert found == []

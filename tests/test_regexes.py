"""Every regular expression of the farm takes linear time, or sees bounded text only, or no text from outside."""

import ast
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import farm
from farm.detect.rules import RULES
from tests.regex_growth import SEARCHING, slowness

ROOT = Path(farm.__file__).parent
METHODS = SEARCHING | {"match", "fullmatch"}
UNKNOWN_USE = ("search", "finditer", "match")

BOUNDED = {
    "farm.browser.consent._bundle": "the rules' own patterns, on the first 500 characters of an address",
    "farm.detect.soft._NOT_FOUND": "a title or a heading of 300 characters",
}
"""May take more than linear time, on text that is short: where the bound is."""
NOT_FROM_OUTSIDE = {
    "farm.browser.site_params._HEADER": "the user's --header",
    "farm.browser.trust.PEM": "the user's --ca-file",
    "farm.extract.selector_cost._TOKEN": "the user's own selectors, of a thousand characters in declarations",
    "farm.extract.positions._TOKEN": "the user's --extract, of 1 MiB at most, which is valid TOML",
    "farm.egress.guard._BARE_V6": "the user's --allow-network",
    "farm.frontier.scripts._FIELD": "the project's own Lua",
    "farm.frontier.scripts._DONE_AT_LOADING": "the project's own Lua",
    "farm.frontier.scripts._COMMENT": "the project's own Lua",
    "farm.frontier.scripts._WORD": "the project's own Lua",
    "farm.frontier.scripts._USED": "the project's own Lua",
    "farm.frontier.scripts._USES": "the project's own Lua",
    "farm.settings.flags.DEFAULT_TEXT": "the project's own help",
    "farm.settings.load.DEFAULT_TEXT": "the project's own help",
    "farm.settings.reference.DEFAULT_TEXT": "the project's own help",
    "farm.settings.flags.FlagParser": "argparse's message about the user's command line",
    "farm.settings.units._LOOSE": "the user's own settings",
    "farm.settings.origin._OFFERED": "the project's own sentences",
    "farm.settings.origin._line_of": "the user's farm.toml",
    "farm.frontier.scripts._CALL": "the project's own Lua",
    "farm.frontier.scripts._REST_OF_LINE": "the project's own Lua",
    "farm.frontier.scripts._STRING": "the project's own Lua",
    "farm.frontier.scripts._refuse_what_would_stay": "the project's own Lua",
    "farm.frontier.shards._kinds_of": "the project's own Lua",
    "farm.scope.seeds._BARE_HOST": "a line of the user's seeds",
    "farm.scope.rules._compiled": "the user's own --include and --exclude",
    "farm.export.filters._compiled": "the user's own --pattern",
    "farm.cli.dead._pattern": "the user's own --pattern",
    "farm.model.page.CaptureRule": "the user's own --capture, on an address of 8,000 characters",
    "farm.api.handlers.Handlers": "the user's own globs, on a path of 2,000 characters",
    "farm.browser.site_params.renders": "the user's own globs, on a path of 2,000 characters",
    "farm.policy.renderers.RendererRules": "the user's own globs, on a path of 2,000 characters",
}
WALKED = {"farm.detect.rules._is": "the rows of RULES are judged one by one"}


@dataclass(frozen=True)
class Found:
    """A pattern where it stands in the source; without `pattern` it is put together when the farm runs."""

    name: str
    methods: tuple[str, ...]
    pattern: re.Pattern[Any] | None = None


def test_every_pattern_is_linear_or_bounded() -> None:
    """One that is not fails here with its reason: rewrite it, or say what bounds the text that it sees."""
    slow = {}
    for found in found_patterns():
        if found.name in BOUNDED or found.name in NOT_FROM_OUTSIDE or found.name in WALKED:
            continue
        why = "not a constant" if found.pattern is None else slowness(found.pattern, found.methods)
        if why is not None:
            slow[found.name] = why
    assert slow == {}


def test_every_exception_is_one() -> None:
    """What has gone, or has become linear, needs no excuse any more."""
    found = {one.name: one for one in found_patterns()}
    excused = {*BOUNDED, *NOT_FROM_OUTSIDE, *WALKED}
    assert excused - found.keys() == set()
    linear = {
        name
        for name in excused
        if (pattern := found[name].pattern) is not None and slowness(pattern, found[name].methods) is None
    }
    assert linear == set()


def test_the_rows_of_the_table_of_vendors_are_linear() -> None:
    """They are compiled by a function."""
    patterns = [
        pattern
        for rule in RULES
        for pattern in (rule.title, rule.words, *rule.headers.values())
        if pattern is not None
    ]
    assert len(patterns) > 10
    assert {one.pattern: why for one in patterns if (why := slowness(one, ["search"])) is not None} == {}


SLOW = [
    (r"a*b", "search"),
    (r"<input[^>]*type=[\"']?password", "search"),
    (r"<(div|main)\b[^>]*\bid=[\"']?(root|ember[^\"'>]*)[\"']?[^>]*>", "search"),
    (r"<textarea(?![^>]*-response)[^>]*>", "search"),
    (r"<[^>]+>", "sub"),
    (r"\d+\.\d+", "search"),
    (r"^\s+|\s+$", "sub"),
    (r"a*a*b", "match"),
    (r"\s*,?\s*x", "match"),
    (r"(a+)+b", "match"),
    (r"(a*)*b", "match"),
    (r"(a|a)*b", "match"),
    (r"(a|b|ab)*c", "match"),
    (r"(x+x+)+y", "fullmatch"),
    (r"(\w+\s?)*$", "match"),
    (r"x.{1,5000}y", "search"),
]
FAST = [
    (r"<input[^>]*", "finditer"),
    (r"<[^<>]*>", "sub"),
    (r"\d+", "sub"),
    (r"^a*b", "search"),
    (r"net::(ERR_[A-Z0-9_]+)", "search"),
    (r"\b404\W*$", "search"),
    (r"[^ ]+( [^ ]+)*", "fullmatch"),
    (r"(ab)*c", "match"),
    (r"a{0,300}b", "search"),
    (r".*:\d+", "fullmatch"),
]


@pytest.mark.parametrize(("pattern", "method"), SLOW)
def test_a_slow_pattern_is_recognised(pattern: str, method: str) -> None:
    """Quadratic, cubic and exponential ones."""
    assert slowness(re.compile(pattern), [method]) is not None


@pytest.mark.parametrize(("pattern", "method"), FAST)
def test_a_linear_pattern_is_let_pass(pattern: str, method: str) -> None:
    """Or the exceptions would hide the real ones."""
    assert slowness(re.compile(pattern), [method]) is None


def test_a_pattern_inside_a_function_is_found() -> None:
    """Also one that is never given a name."""
    names = [found.name for found in found_patterns()]
    assert "farm.app.running._slug" in names


def found_patterns() -> Iterator[Found]:
    """Return every pattern of the package: those that a module names, and every other call of `re`."""
    uses = _uses()
    for info in pkgutil.walk_packages(farm.__path__, "farm."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield Found(f"{info.name}.{name}", tuple(sorted(uses[name])) or UNKNOWN_USE, value)
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield from _calls(".".join(parts), ast.parse(path.read_text(encoding="utf-8")))


def _uses() -> dict[str, set[str]]:
    """Return by which methods a name's pattern is used anywhere in the package."""
    uses: dict[str, set[str]] = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                if isinstance(node.value, ast.Name):
                    uses[node.value.id].add(node.attr)
                elif isinstance(node.value, ast.Attribute):
                    uses[node.value.attr].add(node.attr)
    return uses


def _calls(module: str, tree: ast.Module) -> Iterator[Found]:
    """Return the calls of `re` inside functions, named after the outermost one."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and (method := _method_of_re(node.func)) is not None:
                    yield _found(f"{module}.{statement.name}", method, node.args[0])


def _found(name: str, method: str, pattern: ast.expr) -> Found:
    methods = UNKNOWN_USE if method == "compile" else (method,)
    if isinstance(pattern, ast.Constant):
        return Found(name, methods, re.compile(pattern.value))
    return Found(name, methods)


def _method_of_re(function: ast.expr) -> str | None:
    is_of_re = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "re"
    method = function.attr if isinstance(function, ast.Attribute) else ""
    return method if is_of_re and method in METHODS | {"compile"} else None

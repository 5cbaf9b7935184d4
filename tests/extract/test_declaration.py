"""A declaration is checked as a whole before anything is fetched."""

import json
from pathlib import Path
from typing import Any

import pytest

from farm.extract.declaration import Declaration
from farm.extract.declaration_file import read_declaration
from farm.extract.positions import key_positions
from farm.extract.url_match import UrlMatch
from farm.model.errors import UsageError

FIELDS = '\n[item.a.fields]\nx = "a"'


def read(folder: Path, text: str) -> Declaration:
    """Read a declaration from a file."""
    path = folder / "shop.toml"
    path.write_text(text)
    return read_declaration(path)


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ('[item.a.fields]\nx = ".a["', 2, 1, "not a CSS selector"),
        ('[item.a.fields]\nx = { css = ":has(.a" }', 2, 7, "not closed"),
        ('[item.a]\n\n[item.a.fields]\nok = "h1"\nx = { css = "h1", typ = "text" }', 5, 19, "unknown key"),
        ('[item.a.fields]\nx = { css = "a", type = "prize" }', 2, 18, "boolean, price, date"),
        ('[item.a.fields]\nx = { xpath = "//p[" }', 2, 7, "not an XPath"),
        ('[item.a.fields]\nx = { xpath = "re:test(., 1)" }', 2, 7, "not an XPath"),
        ('[item.a]\nurl_pattern = "(a)\\\\1"' + FIELDS, 2, 1, "linear time"),
        ('[item.a]\nurl = "p/*"' + FIELDS, 2, 1, "path of a URL"),
        ("[item.a]\nfoo = 1" + FIELDS, 2, 1, "unknown key"),
        ('[item.a.fields]\nx = { type = "text" }', 2, 1, "where to find"),
        ('[item.a.fields]\nx = { css = "a", path = "b" }', 2, 1, "css and path"),
        ('[item.a.fields]\nx = { capture = "api" }', 2, 7, "a pattern of addresses"),
        ('[item.a.fields]\nx = { capture = "/a", css = "b" }', 2, 1, "css and capture"),
        ('[item.a.fields]\n"_id" = "a"', 2, 1, "not a field name"),
        ('[item.a.fields]\nx = "a"\nX = "b"', 1, 1, "case"),
        ('[item.a.fields]\nx = { css = "a", min = 3 }', 2, 1, "min and max"),
        ('[item.a.fields]\nx = { css = "a", fields = { y = { json_ld = "a..b" } } }', 2, 35, "not a path"),
        ('[item.a.fields]\nx = { css = "a", list = "yes" }', 2, 18, "write true or false"),
        (
            '[item.a.fields]\nx = { css = "a", min = "3", type = "number" }',
            2,
            18,
            "write a number, without quotes",
        ),
        (
            '[items.a]\nurl = "/p/*"\n[items.a.fields]\nx = "a"',
            1,
            1,
            "items: unknown key (did you mean item?)",
        ),
        ('[fields]\nx = "a"', 1, 1, "in a table such as [item.product.fields]"),
        ('[item.a]\nx = "a"', 2, 1, "in a table such as [item.a.fields]"),
        ('[item.a]\nurl = "/p/*"', 1, 1, "write [item.a.fields], and below it"),
        ("[item.a.fields]", 1, 1, "write [item.a.fields], and below it"),
        ("", 1, 1, "begin with a kind of items and its fields"),
        ('[item.a-b.fields]\nx = "a"', 1, 1, "'a-b' is not a name"),
        (
            '[item.a.fields]\nx = { css = "a", requierd = true }',
            2,
            18,
            "unknown key (did you mean required?)",
        ),
        ('[item.a.fields]\nx = ["a", "b"]', 2, 1, "item.a.fields.x: write a selector"),
        ('[item.a.fields]\nx = ""', 2, 1, "item.a.fields.x: write a selector"),
        ('[item.a.fields]\nx = "h1::text"', 2, 1, "item.a.fields.x: `h1::text` is not a CSS selector"),
        ('[item.a.fields]\nx = "h1::text"', 2, 1, "leave `::text` out"),
        ('[item.a.fields]\nx = "a::attr(href)"', 2, 1, 'attr = "href"'),
        ('[item.a.fields]\nx = "//h1"', 2, 1, "given by xpath"),
        ('locale = "english"\n' + FIELDS, 1, 1, "such as en-GB"),
        ('[item.a.fields]\nx = { css = "a", type = "price", currency = "eur" }', 2, 34, "such as EUR"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, line: int, column: int, said: str
) -> None:
    """In one sentence."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'shop.toml'}, line {line}, column {column}: ")
    assert said in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("text", ["x = ", "[item", "\x00", "a = " + "[" * 5_000])
def test_no_toml(tmp_path: Path, text: str) -> None:
    """The parser's own words."""
    with pytest.raises(UsageError, match="correct the TOML"):
        read(tmp_path, text)


def test_a_text_without_quotes(tmp_path: Path) -> None:
    """The commonest mistake of all in TOML."""
    with pytest.raises(
        UsageError, match=r"line 2, column 5: Invalid value; .* in which texts stand in quotes"
    ):
        read(tmp_path, "[item.a.fields]\nx = h1")


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there, and one that is no text."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_declaration(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(UsageError, match="UTF-8"):
        read_declaration(tmp_path / "bytes.toml")


def test_positions_pass_over_strings_and_comments() -> None:
    """What looks like a key inside one is none."""
    begun = '# x = 1\na = """\nb = 1\n"""\nc = [1, [2, 3], "d = 4"]\n'
    text = begun + '[[t]]\ne = { f = 1.5, "g" = {h = 2} }\n[[t]]\ne = 1\n'
    places = key_positions(text)
    assert {path: line for path, (line, _) in places.items()} == {
        ("a",): 2,
        ("c",): 5,
        ("t", 0): 6,
        ("t", 0, "e"): 7,
        ("t", 0, "e", "f"): 7,
        ("t", 0, "e", "g"): 7,
        ("t", 0, "e", "g", "h"): 7,
        ("t", 1): 8,
        ("t", 1, "e"): 9,
    }
    assert places["t", 0, "e", "g", "h"] == (7, 23)


def test_urls(tmp_path: Path) -> None:
    """Globs on the path, expressions on the whole URL, every page without any; hostile URLs cost no time."""
    shop = 'url = ["/p/*", "/q"]\nurl_pattern = "[?&]id=[0-9]+"'
    rules = read(tmp_path, f"[item.a]\n{shop}{FIELDS}\n[item.b.fields]\nx = 'a'").item
    match = UrlMatch(rules["a"])
    fits = [
        match(f"https://shop.example{path}") for path in ("/p/1", "/p/a/b", "/q", "/q/1", "/x?id=5", "/xp/1")
    ]
    assert fits == [True, True, True, False, True, False]
    assert UrlMatch(rules["b"])("https://shop.example/any")
    slow = read(tmp_path, f'[item.a]\nurl_pattern = "(a+)+$"{FIELDS}').item["a"]
    assert not UrlMatch(slow)("https://shop.example/" + "a" * 50_000 + "!")


def test_what_a_declaration_holds(tmp_path: Path) -> None:
    """The columns of its items, what is captured for it, and a form for JSON that says the same."""
    text = """
[item.a]
each = { capture = "/api/*", path = "items" }
[item.a.fields]
name = "h1"
n = { path = "n", type = "integer", min = 1 }
x = { css = "x", type = "number" }
d = { css = "x", type = "date" }
ok = { css = "x", type = "boolean" }
p = { css = "x", type = "price" }
l = { css = "x", list = true }
any = { json_ld = "name" }
[item.b.fields]
x = { css = "x", type = "integer" }
n = { css = "x", type = "integer" }
o = { css = "x", fields = { y = { css = "y", fields = { z = { capture = "json:/z" } } } } }
"""
    declaration = read(tmp_path, text)
    assert declaration.columns == {
        "name": "text",
        "n": "integer",
        "x": "json",
        "d": "text",
        "ok": "boolean",
        "p": "json",
        "l": "json",
        "any": "json",
        "o": "json",
    }
    assert {*declaration.captures} == {"/api/*", "json:/z"}
    assert declaration.needs_html
    stored = json.dumps(declaration.stored(), sort_keys=True)
    again = Declaration.of_stored(json.loads(stored))
    assert again == declaration
    assert again.model_dump_json() == declaration.model_dump_json(), "in the same order"
    assert len(stored) < 3 * len(text)
    only = '[item.a]\neach = { capture = "/api/*" }\n[item.a.fields]\nx = { path = "y" }'
    assert not read(tmp_path, only).needs_html


@pytest.mark.parametrize(
    "stored",
    [
        *(
            None,
            3,
            [],
            {},
            {"item": {}},
            {"item": {"a": 1}, "order": ["a"]},
            {"item": {"a": {}}, "order": ["b"]},
        ),
        {"item": {"a": {"fields": {"x": {"css": "a["}}, "order": ["x"]}}, "order": ["a"]},
        {"item": {"a": {"fields": {"x": "a"}, "order": [["x"]]}}, "order": ["a"]},
        {"item": {"a": {"fields": [], "order": ["x"]}}, "order": ["a"]},
    ],
)
def test_what_is_stored_may_be_anything(stored: Any) -> None:
    """Anybody may have written to Redis."""
    with pytest.raises(ValueError, match=r"."):
        Declaration.of_stored(stored)
    deep: dict[str, Any] = {"css": "a"}
    for _ in range(900):
        deep = {"css": "a", "fields": {"x": deep}, "order": ["x"]}
    with pytest.raises(ValueError, match="nested more than"):
        Declaration.of_stored({"item": {"a": deep}, "order": ["a"]})

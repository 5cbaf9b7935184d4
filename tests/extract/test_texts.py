"""Markdown and main text of a page: what survives, what is left out."""

import re
from typing import Any

import pytest

from farm.extract.texts import TEXT_CAP, texts_of

PARAGRAPH = "The kiln was lit at dawn, and by noon the first jars stood on the shelf to cool, numbered {}."


def made(html: str, **wanted: Any) -> dict[str, Any]:
    """Return the texts of a page at https://s.example/d/x."""
    return texts_of(
        html.encode(),
        {"url": "https://me:secret@s.example/d/x", "markdown": True, "main_text": False, **wanted},
    )


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>One</h1><p>a</p><h3>Three</h3>", "# One\n\na\n\n### Three"),
        ("<ul><li>a<ol start=3><li>b</ol><li>c</ul>", "- a\n\n  3. b\n- c"),
        ("<p>un <b>gras</b>, <em>i</em> <code>x*y</code></p>", "un **gras**, *i* `x*y`"),
        ("<pre><code class=language-py>a\n\n\n  b*c\n</code></pre>", "```py\na\n\n\n  b*c\n```"),
        ("<blockquote><p>q</p></blockquote>", "> q"),
        ("<nav><a href=/y>l</a></nav><form><label>f</label></form>", "[l](https://s.example/y)\n\nf"),
        ("<h1>عنوان</h1><p dir=rtl>نص <b>غامق</b></p>", "# عنوان\n\nنص **غامق**"),
        ("<p>これは<strong>強調</strong>です。</p>", "これは**強調**です。"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1|2</td><td>x<br>y</td></tr></table>",
            "| A    | B      |\n| ---- | ------ |\n| 1\\|2 | x<br>y |",
        ),
    ],
)
def test_structure_survives(html: str, expected: str) -> None:
    """Headings, lists, emphasis, code with its blank lines, quotes, tables; any script."""
    assert made(html)["markdown"] == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<a href=y>l</a>", "[l](https://s.example/d/y)"),
        ("<base href=/b/><a href=y>l</a>", "[l](https://s.example/b/y)"),
        ("<base href='http://['><a href=y>l</a>", "[l](https://s.example/d/y)"),
        ("<a href='//cdn.example/?q=1&amp;r=é'>l</a>", "[l](https://cdn.example/?q=1&r=%C3%A9)"),
        ("<a href=http://u:p@t.example/>l</a>", "[l](http://t.example/)"),
        ("<a href='javascript:alert(1)'>l</a>", "l"),
        ("<a href=mailto:a@b.example>l</a>", "[l](mailto:a@b.example)"),
        ("<a href=y><i class=icon></i></a><p>t", "t"),
        ("<img src=i.png alt=jar>", "![jar](https://s.example/d/i.png)"),
        ("<p>a <img src='data:image/png;base64,AAAA' alt=jar> b", "a jar b"),
        ("<a href=y><img src=i.png alt=jar><h2>Jar</h2>$5</a>", None),
    ],
)
def test_addresses_are_absolute_and_nothing_is_empty(html: str, expected: str | None) -> None:
    """By the base where the page names one; without passwords, scripts and data."""
    found = made(html)["markdown"]
    if expected is None:
        assert "![jar](https://s.example/d/i.png)" in found
        assert "## [Jar](https://s.example/d/y)" in found
        assert "$5" in found
    else:
        assert found == expected


@pytest.mark.parametrize(
    "unseen",
    [
        "<script>N</script>",
        "<style>N</style>",
        "<noscript>N</noscript>",
        "<template>N</template>",
        "<svg><title>N</title></svg>",
        "<p hidden>N</p>",
        "<div style='color: red; DISPLAY : none'>N</div>",
        "<!-- N -->",
        "<h2> </h2>",
        "<ul><li></li></ul>",
        "<strong>\xa0</strong>",
    ],
)
def test_what_is_not_shown_is_not_written(unseen: str) -> None:
    """And nothing of it stays behind: no mark of a heading, an item, an emphasis."""
    assert re.split(r"\s+", made(f"<p>a</p>{unseen}<p>b</p>")["markdown"]) == ["a", "b"]


def test_shadow_roots_stand_where_they_are_shown() -> None:
    """What is slotted is in its slot, what has none is not shown."""
    html = (
        "<my-card><template shadowrootmode=open><h2>Card</h2><slot name=top></slot><p>then</p><slot></slot>"
        "</template><p>light</p><b slot=top>named</b><i slot=nowhere>lost</i></my-card>"
    )
    words = made(html)["markdown"].split()
    assert words == ["##", "Card", "**named**", "then", "light"]


def test_a_table_that_lays_the_page_out_is_none() -> None:
    """Blocks and tables cannot stand in cells."""
    html = (
        "<table><tr><td><h2>Head</h2><p>a</p></td><td><table><tr><td>in</td></tr></table></td></tr></table>"
    )
    found = made(html)["markdown"]
    assert found.startswith("## Head\n\na\n\n")
    assert "in" in found


def test_the_main_text_is_without_what_surrounds_it() -> None:
    """Of an article; a page without one has none."""
    nav = "".join(f"<li><a href=/{number}>Chapter {number}</a></li>" for number in range(30))
    body = "".join(f"<p>{PARAGRAPH.format(number)}</p>" for number in range(8))
    html = f"<nav><ul>{nav}</ul></nav><article><h1>Kilns</h1>{body}<ul><li>a list item</ul></article>"
    text = made(html, main_text=True)["main_text"]
    assert all(PARAGRAPH.format(number) in text for number in range(8))
    assert "a list item" in text
    assert "Chapter 7" not in text
    assert made("<p></p>", main_text=True)["main_text"] is None


@pytest.mark.parametrize("html", ["", " ", "\0", "<!-- only -->", "<", "plain"])
def test_a_page_of_nothing_has_an_empty_text(html: str) -> None:
    """No failure."""
    found = made(html, main_text=True)
    assert found["markdown"] in {"", "<", "plain", "\ufffd"}
    assert found["truncated"] == []


def test_what_is_cut_is_said() -> None:
    """By the cap, and where elements are nested deeper than the parser follows."""
    long = made(f"<p>{'word ' * (TEXT_CAP // 4)}</p>")
    assert len(long["markdown"]) == TEXT_CAP
    assert long["truncated"] == ["markdown"]
    assert made(f"<p>before</p>{'<div>' * 5000}deep")["truncated"] == ["markdown"]


def test_a_table_within_a_layout_table_keeps_its_rows() -> None:
    """The outer one is unfolded alone."""
    source = """<table><tr><td>Menu</td><td><h1>Places</h1>
        <table><tr><th>Year</th><th>Place</th></tr><tr><td>1998</td><td>Bergen</td></tr></table>
        </td></tr></table>"""
    assert _rows(source) == [["Year", "Place"], ["1998", "Bergen"]]


def test_code_and_lists_in_a_table_with_a_header_are_lines_of_their_cells() -> None:
    """The table stays one: its rows say more than the blocks."""
    source = """<table><tr><th>Call</th><th>Gives</th></tr>
        <tr><td><pre>f(1)\n f(2)</pre></td><td>Both:<ul><li>one</li><li><b>two</b></li></ul></td></tr>
        <tr><td><ol><li>x</li><li>y</li></ol></td><td>-</td></tr></table>"""
    rows = _rows(source)
    assert rows[1][0].replace("<br>", "|").strip("|").split("|") == ["`f(1)`", "` f(2)`"]
    assert rows[1][1] == "Both:<br>- one<br>- **two**"
    assert rows[2][0].replace("\\", "") == "1. x<br>2. y"


def test_a_table_of_code_without_a_header_is_unfolded() -> None:
    """So are listings with their line numbers laid out."""
    markdown = _markdown_of(
        "<table><tr><td><pre>1\n2</pre></td><td><pre>a = 1\nb = 2</pre></td></tr></table>"
    )
    assert "```\na = 1\nb = 2\n```" in markdown
    assert "|" not in markdown


def _markdown_of(source: str) -> str:
    found = texts_of(source.encode(), {"url": "http://h/", "markdown": True, "main_text": False})
    return str(found["markdown"])


def _rows(source: str) -> list[list[str]]:
    """Return the cells of the Markdown's table, without the line below its header."""
    lines = [line for line in _markdown_of(source).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if set("".join(row)) - {"-", " "}]

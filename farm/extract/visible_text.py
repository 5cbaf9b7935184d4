"""The visible text and the links of a parsed page, by the rules of `innerText` in browsers.

The input is the output of the HTML parser: every element is closed, and neither text nor attributes have `<` or
`>`. Each element has the default style of browsers, and that of its `style` attribute; the rules of style sheets
must be in that attribute.

Invariants: time and memory are linear in the length of the page.
"""

import re
from dataclasses import dataclass, field

from farm.extract.element_rules import (
    ADDRESSES,
    APART,
    BLOCK,
    BOX,
    CASE,
    CELL,
    DETAILS,
    DISPLAY,
    DISPLAYS,
    DRAWING,
    FLEX,
    FORMULA,
    HIDDEN,
    ITALICS,
    KEEPS,
    KEPT,
    LINES,
    LINK,
    MUTED,
    NEIGHBOURS,
    OFF,
    PARAGRAPH,
    ROW,
    RULES,
    SHOWN,
    SPECIAL,
    TABLE,
    VOID,
    Style,
    is_telling,
    style_of,
)
from farm.extract.text_layout import TextLayout, in_case

_TAG = re.compile(r"<([^<>]*)>")
_MOST_OPEN_LINKS = 16
"""Nested links are only possible by tricks; only the outer ones have the text."""
_Open = tuple[str, int, bool, int]
"""An element that is open: its name, its effects, whether a space is due before it, and the pieces before it."""


@dataclass(slots=True)
class FoundLink:
    """A link: its address, unchanged, its `rel`, and the parts of its label, which is the text within it."""

    element: str
    href: str
    rel: str
    other_label: str = ""
    """The replacement for an empty label."""
    parts: list[str] = field(default_factory=list)


def unescaped(text: str) -> str:
    """Return the text with the parser's escapes undone."""
    if "&" not in text:
        return text
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\xa0").replace("&quot;", '"')
    return plain.replace("&amp;", "&")


def without_comments(html: str) -> str:
    """Return the parser's output without comments."""
    first, *rest = html.split("<!--")
    return "".join([first, *(piece.partition("-->")[2] for piece in rest)])


def attributes_of(rest: str) -> dict[str, str]:
    """Return the attributes of a tag as the parser writes them."""
    parts = rest.split('"')
    return {
        name.strip().removesuffix("="): unescaped(value)
        for name, value in zip(parts[::2], parts[1::2], strict=False)
    }


class VisibleText:
    """Reads the HTML of a page once; `links` are in the order of the document, `most_links` at most."""

    def __init__(self, html: str, most_links: int) -> None:
        self.links: list[FoundLink] = []
        self.lacks_links = False
        self._most_links = most_links
        self._lines = TextLayout()
        self._hidden = 0
        """How many enclosing elements hide this place."""
        self._shown: list[int] = []
        self._keeps, self._cases, self._muted = [""], [""], [False]
        self._next: tuple[str, str, bool] = ("all", "", False)
        """The white space, letter case and visibility of the current element, if it sets them."""
        self._open_links: list[FoundLink] = []
        self._details: list[bool] = []
        """Of each closed one around, whether its summary has come."""
        self._formulas = self._drawing = 0
        self._is_variable = False
        self._read(html)

    @property
    def text(self) -> str:
        """The visible text."""
        return self._lines.text

    def _read(self, html: str) -> None:
        lines, parts = self._lines, _TAG.split(html)
        stack: list[_Open] = []
        adjoins = False
        """Whether an element has ended, and nothing has come since."""
        for at in range(0, len(parts) - 1, 2):
            text, tag = parts[at], parts[at + 1]
            if text:
                self._text(text)
                adjoins = False
            self._is_variable = False
            if self._open_links and tag.lstrip("/").partition(" ")[0] in LINES:
                self._label(" ")
            if tag[:1] == "/":
                does, is_apart, before = self._closed(stack, tag[1:])
                has_text = lines.pieces > before
                lines.ends(is_box=bool(does & (BOX | OFF)), has_text=has_text, is_apart=is_apart)
                adjoins = True
                continue
            name, _, rest = tag.partition(" ")
            does = RULES.get(name, 0)
            around, before = stack[-1][1] if stack else 0, lines.pieces
            if rest or around or self._formulas or name in SPECIAL:
                does = self._own(name, rest, does, around)
            is_apart = lines.begins(adjoins=adjoins and name in NEIGHBOURS, is_box=bool(does & (BOX | APART)))
            adjoins = False
            if does:
                does = self._begin(does)
            if name not in VOID:
                stack.append((name, does, is_apart, before))
                continue
            if does:
                self._end(does)
            lines.ends(is_box=False, has_text=False, is_apart=is_apart)
        if parts[-1]:
            self._text(parts[-1])

    def _closed(self, stack: list[_Open], name: str) -> tuple[int, bool, int]:
        """End the elements up to the one with this name; return what the stack has of that one."""
        does, were_apart, before = 0, False, 0
        while stack:
            opened, does, is_apart, before = stack.pop()
            were_apart = were_apart or is_apart
            if does:
                self._end(does)
            if opened == name:
                break
        return does, were_apart, before

    def _text(self, text: str) -> None:
        text = unescaped(text)
        self._label(text)
        if self._hidden:
            return
        if self._muted[-1]:
            self._lines.replaced()
            return
        case = self._cases[-1]
        if self._is_variable and len(text) == 1:
            text = text.translate(ITALICS)
        elif case:
            text = in_case(text, case, begins_word=self._lines.begins_word)
        self._lines.words(text, self._keeps[-1])

    def _label(self, text: str) -> None:
        for link in self._open_links:
            link.parts.append(text)

    def _own(self, name: str, rest: str, does: int, around: int) -> int:
        """Return the effects of an element with attributes, in a special place, or with a rule of its own."""
        attributes = attributes_of(rest) if does & LINK or name in SPECIAL or is_telling(rest) else {}
        if does & LINK:
            does = self._link(name, attributes, does)
        display = ""
        if "style" in attributes:
            style = style_of(attributes["style"])
            display = style.display
            if display in DISPLAYS:
                by_display = DISPLAYS[display]
                does = does & ~DISPLAY | by_display | (PARAGRAPH if name == "p" and by_display & BLOCK else 0)
            does |= self._styled(style)
        if ("hidden" in attributes and not display) or "popover" in attributes:
            does |= HIDDEN
        if around & FLEX and not does & HIDDEN:
            does = does & ~BOX | BLOCK
        if around & DETAILS and name == "summary" and not self._details[-1]:
            self._details[-1] = True
            does |= SHOWN
        elif name in SPECIAL:
            does = self._special(name, attributes, does)
        elif self._formulas and not does & HIDDEN:
            does |= BLOCK
        return does

    def _special(self, name: str, attributes: dict[str, str], does: int) -> int:
        match name:
            case "br" if not does & HIDDEN and not self._hidden:
                self._lines.break_line()
            case "object" if "data" in attributes:
                does |= BOX | HIDDEN
            case "details" if "open" not in attributes:
                does |= DETAILS
            case "dialog" if "open" not in attributes:
                does |= HIDDEN
            case "text" | "foreignObject" if self._hidden and self._hidden == self._drawing:
                does |= SHOWN | BLOCK
            case "mi" if self._formulas:
                self._is_variable = True
                does |= BLOCK
            case "img" | "input" | "embed" if not does & (HIDDEN | BLOCK) and not self._hidden:
                if name != "input" or attributes.get("type") != "hidden":
                    self._lines.replaced()
        return does

    def _styled(self, style: Style) -> int:
        does = (APART if style.apart else 0) | (OFF if style.off else 0)
        if style.keeps:
            does |= KEEPS
        if style.case:
            does |= CASE
        if style.visibility:
            does |= MUTED
        self._next = (
            KEPT.get(style.keeps, "") if style.keeps else "all",
            style.case,
            style.visibility in {"hidden", "collapse"},
        )
        return does

    def _link(self, name: str, attributes: dict[str, str], does: int) -> int:
        href = next((attributes[key] for key in ADDRESSES[name] if key in attributes), None)
        if href is None or (not href and name in {"iframe", "frame"}):
            return does & ~LINK
        if len(self.links) >= self._most_links:
            self.lacks_links = True
            return does & ~LINK
        other = attributes.get("aria-label") or attributes.get("alt") or ""
        if not other and name in {"iframe", "frame"}:
            other = attributes.get("title", "")
        link = FoundLink(name, href, attributes.get("rel", ""), other)
        self.links.append(link)
        if len(self._open_links) >= _MOST_OPEN_LINKS:
            return does & ~LINK
        self._open_links.append(link)
        return does

    def _begin(self, does: int) -> int:
        """Apply the effects of an element; return those to undo at its end."""
        if does & (KEEPS | CASE | MUTED):
            self._begin_style(does)
        if does & SHOWN:
            self._shown.append(self._hidden)
            self._hidden = 0
        if does & HIDDEN or self._hidden:
            return self._begin_hidden(does)
        if does & MUTED and self._muted[-1]:
            # What is invisible breaks no lines, although it takes room.
            does &= ~(BLOCK | PARAGRAPH)
        if does & DISPLAY:
            self._begin_lines(does)
        self._formulas += bool(does & FORMULA)
        if does & DETAILS:
            self._details.append(False)
            self._hidden += 1
        return does

    def _begin_style(self, does: int) -> None:
        keeps, case, is_muted = self._next
        if does & KEEPS:
            self._keeps.append(keeps)
        if does & CASE:
            self._cases.append(case)
        if does & MUTED:
            self._muted.append(is_muted)
        self._next = ("all", "", False)

    def _begin_hidden(self, does: int) -> int:
        if does & BOX and not self._hidden:
            self._lines.replaced()
        self._hidden += bool(does & HIDDEN)
        if does & DRAWING:
            self._drawing = self._hidden
        return does & (SHOWN | HIDDEN | LINK | KEEPS | CASE | MUTED)

    def _begin_lines(self, does: int) -> None:
        lines = self._lines
        if does & (BLOCK | PARAGRAPH):
            lines.block(2 if does & PARAGRAPH else 1)
        if does & BOX:
            lines.open_box()
        if does & TABLE:
            lines.open_table()
        if does & ROW:
            lines.row()
        if does & CELL:
            lines.cell()

    def _end(self, does: int) -> None:
        if does & DETAILS:
            self._details.pop()
            self._hidden -= 1
        if does & HIDDEN:
            self._hidden -= 1
        elif not self._hidden:
            if does & DISPLAY:
                self._end_lines(does)
            self._formulas -= bool(does & FORMULA)
        if does & SHOWN:
            self._hidden = self._shown.pop()
        if does & LINK:
            self._open_links.pop()
        if does & (KEEPS | CASE | MUTED):
            self._end_style(does)

    def _end_lines(self, does: int) -> None:
        lines = self._lines
        if does & CELL:
            lines.close_cell()
        if does & TABLE:
            lines.close_table()
        if does & BOX:
            lines.close_box()
        if does & (BLOCK | PARAGRAPH):
            lines.block(2 if does & PARAGRAPH else 1)

    def _end_style(self, does: int) -> None:
        if does & KEEPS:
            self._keeps.pop()
        if does & CASE:
            self._cases.pop()
        if does & MUTED:
            self._muted.pop()

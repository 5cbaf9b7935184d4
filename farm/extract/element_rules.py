"""What elements do to the text around them where they have the style that browsers give them by default."""

from functools import lru_cache

BLOCK, PARAGRAPH, BOX, HIDDEN, SHOWN, KEEPS, CELL, ROW = (1 << bit for bit in range(8))
TABLE, LINK, MUTED, CASE, FLEX, DETAILS, FORMULA, DRAWING, APART, OFF = (1 << bit for bit in range(8, 18))
"""What an element does where it begins, and undoes where it ends; one element may do several of them.

BOX stands in a line and has lines of its own, SHOWN is seen although what is around is not, KEEPS keeps its white
space, MUTED says whether it is visible, CASE changes letters. In FLEX all are blocks. APART is some way off what
is before it, OFF some way off what follows. DETAILS shows its summary alone.
"""


def _all(does: int, names: str) -> dict[str, int]:
    return dict.fromkeys(names.split(), does)


DISPLAY = BLOCK | PARAGRAPH | BOX | HIDDEN | CELL | ROW | TABLE
"""What the `display` of a style decides."""
RULES: dict[str, int] = {
    **_all(
        BLOCK,
        "address article aside blockquote body center dd dir div dl dt fieldset figcaption figure",
    ),
    **_all(
        BLOCK,
        "footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu nav ol option search",
    ),
    **_all(BLOCK, "section summary ul caption details dialog"),
    **_all(
        HIDDEN,
        "datalist rp title desc metadata noframes noembed annotation annotation-xml head meta link base",
    ),
    **_all(HIDDEN, "base param audio script style noscript template"),
    **_all(BOX, "button marquee select"),
    **_all(BOX | HIDDEN, "textarea video canvas meter progress"),
    **_all(BLOCK | KEEPS, "pre listing plaintext xmp"),
    **_all(CELL, "td th"),
    "p": PARAGRAPH,
    "tr": ROW,
    "table": TABLE,
    "svg": BOX | HIDDEN | DRAWING,
    "math": FORMULA,
    "a": LINK,
    "area": HIDDEN | LINK,
    "iframe": BOX | HIDDEN | LINK,
    "frame": HIDDEN | LINK,
}
"""By element; one that is not named stands in its line."""
LINES = frozenset(
    {"br", *(name for name, does in RULES.items() if does & (BLOCK | PARAGRAPH | CELL | ROW | TABLE))}
)
"""What holds the words of a link apart, whatever its style."""
DISPLAYS: dict[str, int] = {
    **_all(BLOCK, "block flow-root list-item"),
    **_all(BLOCK | FLEX, "flex grid -webkit-box -webkit-flex -ms-flexbox"),
    **_all(BOX, "inline-block inline-table"),
    **_all(BOX | FLEX, "inline-flex inline-grid"),
    **_all(0, "inline contents initial unset"),
    "none": HIDDEN,
    "table": TABLE,
    "table-row": ROW,
    "table-cell": CELL,
}
"""By the value of `display`."""
KEPT = {"pre": "all", "pre-wrap": "all", "break-spaces": "all", "pre-line": "lines"}
"""Which white space a value of `white-space` keeps; others keep none."""
VOID = frozenset(_all(0, "area base basefont bgsound br col embed frame hr img input keygen link meta"))
VOID |= frozenset(("param", "source", "track", "wbr"))
"""Elements without an end."""
REPLACED = frozenset(("img", "input", "embed"))
"""Without text; but white space beside them is no white space at the end of a line."""
SPECIAL = frozenset(_all(0, "br details dialog summary text foreignObject object mi img input embed"))
"""What has a rule of its own."""
ADDRESSES = {"a": ("href", "xlink:href"), "area": ("href",), "iframe": ("src",), "frame": ("src",)}
"""The attributes that lead somewhere."""
NEIGHBOURS = frozenset(_all(0, "a button span label summary b strong i em small input select div li dd dt"))
"""What may stand beside another element without a space, although a box holds the two apart."""
ITALICS = {
    **{ord("A") + n: chr(0x1D434 + n) for n in range(26)},
    **{ord("a") + n: chr(0x1D44E + n) for n in range(26)},
    ord("h"): "\u210e",
}
"""How a formula shows a variable of one letter."""
_STYLE_CHARS = 2_000


class Style:
    """What the `style` of an element says of its text; empty if it says nothing."""

    __slots__ = ("apart", "case", "display", "keeps", "off", "visibility")

    def __init__(self, style: str) -> None:
        said = {}
        for declaration in style.lower().split(";"):
            name, _, value = declaration.partition(":")
            said[name.strip()] = value.partition("!")[0].strip()
        self.display = said.get("display", "")
        if said.get("position") in {"absolute", "fixed"} or said.get("float") in {"left", "right"}:
            self.display = "block" if self.display != "none" else "none"
        self.visibility = said.get("visibility", "")
        self.keeps = said.get("white-space", "")
        self.case = said.get("text-transform", "")
        self.apart = said.get("apart") == "yes"
        self.off = said.get("off") == "yes"


_known = lru_cache(maxsize=1024)(Style)


def style_of(style: str) -> Style:
    """Return what a `style` says, as far as its first `_STYLE_CHARS` characters do; the last ones are kept."""
    return _known(style[:_STYLE_CHARS])


def is_telling(attributes: str) -> bool:
    """Return whether these attributes, as the parser writes them, may bear on the text of any element."""
    return "style=" in attributes or "hidden=" in attributes or "popover=" in attributes

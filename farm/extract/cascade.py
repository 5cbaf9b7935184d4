"""The styles of a page's elements, as far as they bear on its text: by style sheets, and by themselves.

What comes of it is written into each element's `style`, where the text is read from. Of two declarations that say
the same of an element the important one counts, then the more special one, then the later one.
"""

import re
from collections.abc import Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from farm.extract.stylesheets import StyleRule

_CLASSES = re.compile(r' class="([^"]*)"')
MOST_SELECTORS = 4_000
MOST_FOR_SLOW = 5_000
"""Elements of a page on which every selector is tried."""
MOST_MATCHES = 200_000
MOST_TRIED = 50_000_000
"""Elements times selectors: each selector is tried on each element."""
_Said = dict[str, tuple[tuple[bool, tuple[int, int, int], int], str]]


def apply_styles(parser: LexborHTMLParser, sheets: Sequence[Sequence[StyleRule]]) -> bool:
    """Write what the sheets say into the elements; return False where there were too many rules or matches."""
    if not any(sheets):
        return True
    known = {name for value in _CLASSES.findall(parser.html or "") for name in value.split()}
    elements = len(parser.css("*"))
    # They take time by the square of the number of elements.
    slow = (":has(", ":nth-") if elements > MOST_FOR_SLOW else ()
    most_selectors = min(MOST_SELECTORS, MOST_TRIED // max(1, elements))
    found: dict[int, tuple[LexborNode, _Said]] = {}
    selectors = matches = order = 0
    for rule in (rule for sheet in sheets for rule in sheet):
        order += 1
        if not rule.needs <= known or any(part in rule.selector for part in slow):
            continue
        selectors += 1
        if selectors > most_selectors or matches > MOST_MATCHES:
            break
        for node in _matched(parser, rule.selector):
            matches += 1
            _, said = found.setdefault(node.mem_id, (node, {}))
            for name, value, is_important in rule.declarations:
                rank = (is_important, rule.weight, order)
                if name not in said or said[name][0] <= rank:
                    said[name] = rank, value
    for node, said in found.values():
        _write(node, said)
    return selectors <= most_selectors and matches <= MOST_MATCHES


def _matched(parser: LexborHTMLParser, selector: str) -> list[LexborNode]:
    try:
        return parser.css(selector)
    except SelectolaxError:
        # A selector that the library does not know; of a list in a sheet the others hold here.
        return []


def _write(node: LexborNode, said: _Said) -> None:
    own = node.attributes.get("style") or ""
    usual = "".join(
        f"{name}:{value};" for name, ((is_important, *_), value) in said.items() if not is_important
    )
    strong = "".join(f";{name}:{value}" for name, ((is_important, *_), value) in said.items() if is_important)
    node.attrs["style"] = f"{usual}{own}{strong}"

"""The HTML of a page, searched by CSS (lexbor) and by XPath (libxml2).

Each language parses the HTML by its own library, on first use. Declarative shadow roots are opened: their content
becomes content of their hosts. A node found in one language is searched in the other as a document of its own,
without its surroundings.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lxml import etree
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from farm.extract.element_rules import VOID
from farm.extract.nesting import LOOKED_AT_FROM, Unreadable, nesting_of
from farm.extract.selector_cost import SelectorCost
from farm.model.text import well_formed

MOST_CHARS = 5_000_000
MOST_DEPTH = 1_000
_SCANNED_FROM, _CHECKED_FROM = 2_000, 100
"""Tags of a page on which its depth, and what a selector costs, are looked at."""
_HAS_TAGS, _NTH_TAGS = 10_000, 40_000
MOST_NODES = 10_001
"""One more than an item's list and a page's items may have: so it is noticed, and said, that there are more."""
MOST_SHADOWS, MOST_SHADOW_DEPTH = 5_000, 50
"""Those in each other are found one after the other, by a look at the whole page for each."""
_TEXT_CHARS = 1_000_000
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_MOST_CLASSES = 50
CompiledXPath = Callable[[Any], Any]
"""An XPath expression of lxml's, which has no types: it is called with a node."""
_HIDDEN = frozenset({"script", "style", "template", "noscript"})
_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "br",
            "dd",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figcaption",
        ),
        *(
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
            "nav",
        ),
        *("ol", "option", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    )
)
_ADDRESSES = {
    "a": "href",
    "area": "href",
    "link": "href",
    "base": "href",
    "meta": "content",
    "form": "action",
}


class Element(Protocol):
    """An element of a document."""

    def css(self, selector: str) -> "list[Element]":
        """Return what a selector matches, the element itself included, in order."""
        ...

    def xpath(self, path: CompiledXPath) -> "list[Element | str]":
        """Return elements and texts."""
        ...

    def text(self) -> str:
        """Return the text with single spaces; blocks are apart."""
        ...

    def html(self) -> str:
        """Return the HTML, with the element's own tags."""
        ...

    def attribute(self, name: str) -> str | None:
        """Return an attribute; for an empty name the one that holds the element's address."""
        ...


class Document:
    """A page's HTML. Raises `Unreadable` if it is too long or too deep."""

    def __init__(self, html: str) -> None:
        self.tags = html.count("<")
        if len(html) > MOST_CHARS:
            raise Unreadable(f"the HTML has {len(html):,} characters; at most {MOST_CHARS:,} are read")
        if self.tags > _SCANNED_FROM and self._depth(html) > MOST_DEPTH:
            raise Unreadable(f"elements are nested more than {MOST_DEPTH:,} deep")
        self._html = well_formed(html).replace("\0", "\ufffd")
        self._cost = SelectorCost()
        self._css: CssNode | None = None
        self._tree: XPathNode | None = None

    def _depth(self, html: str) -> int:
        """Return how deep elements are in each other, as a browser writes it: each that can be closed is."""
        if self.tags > LOOKED_AT_FROM:
            return nesting_of(html, VOID).depth
        # Few enough to be parsed in any case: a comment may have tags, and is taken for them.
        depth = most = 0
        for found in _TAG.finditer(html):
            if found[1]:
                depth -= depth > 0
            elif found[2].lower() not in VOID:
                depth += 1
                most = max(most, depth)
        return most

    def css(self, selector: str) -> list[Element]:
        """Return what matches in the page. Raises `Unreadable`."""
        if self._css is None:
            self._css = CssNode(_opened(LexborHTMLParser(self._html)), self)
        return self._css.css(selector)

    def xpath(self, path: CompiledXPath) -> list[Element | str]:
        """Return elements and texts of the page."""
        if self._tree is None:
            tree = _tree(self._html)
            self._tree = XPathNode(tree, self)
        return self._tree.xpath(path)

    def names(self) -> set[str]:
        """Return the `.classes` and `#ids` of the page, `MOST_NODES` elements of it at most."""
        found: set[str] = set()
        for element in self.css("*"):
            classes = (element.attribute("class") or "").split()[:_MOST_CLASSES]
            found.update(f".{name}" for name in classes if _PLAIN.fullmatch(name))
            id_ = element.attribute("id") or ""
            if _PLAIN.fullmatch(id_):
                found.add(f"#{id_}")
        return found

    def _check(self, selector: str, within: LexborNode, cost: SelectorCost) -> None:
        """Refuse selectors that take too long on this page: they cannot be interrupted."""
        if self.tags > _CHECKED_FROM:
            cost.check(selector, within)
        for part, most in ((":has(", _HAS_TAGS), (":nth-", _NTH_TAGS)):
            if part in selector and self.tags > most:
                raise Unreadable(f"`{part.strip('(')}` is not evaluated on a page of more than {most:,} tags")


class CssNode:
    """An element of lexbor's tree."""

    def __init__(self, node: LexborNode, document: Document) -> None:
        self._node = node
        self._document = document

    def css(self, selector: str) -> list[Element]:
        """Return what matches."""
        self._document._check(selector, self._node, self._document._cost)  # noqa: SLF001 - of this module
        return [CssNode(one, self._document) for one in self._node.css(selector)[:MOST_NODES]]

    def xpath(self, path: CompiledXPath) -> list[Element | str]:
        """Return what is found in the element alone."""
        tree = _tree(self.html())
        body = tree.find("body")
        inner = body[0] if body is not None and len(body) else tree
        return XPathNode(inner, self._document).xpath(path)

    def text(self) -> str:
        """Return the text."""
        if self._node.child is None or (self._node.child.is_text_node and self._node.child.next is None):
            return _spaced([self._node.text()])
        return _spaced(self._pieces())

    def html(self) -> str:
        """Return the HTML."""
        return self._node.html or ""

    def attribute(self, name: str) -> str | None:
        """Return an attribute; None if there is none."""
        attributes = self._node.attributes
        name = name or _ADDRESSES.get(self._node.tag or "", "src")
        return (attributes[name] or "") if name in attributes else None

    def _pieces(self) -> Iterator[str]:
        # By siblings and children, since what is hidden is passed over with all that is in it.
        waiting: list[LexborNode | str] = [self._node]
        while waiting:
            node = waiting.pop()
            if isinstance(node, str):
                yield node
            elif node.is_text_node:
                yield node.text_content or ""
            elif node.is_element_node and (node.tag or "") not in _HIDDEN:
                edge = " " if node.tag in _BLOCKS else ""
                yield edge
                waiting.append(edge)
                waiting.extend(reversed(list(node.iter(include_text=True))))


class XPathNode:
    """An element of libxml2's tree."""

    def __init__(self, node: Any, document: Document) -> None:
        self._node = node
        self._document = document

    def css(self, selector: str) -> list[Element]:
        """Return what matches in the element alone."""
        root = _opened(LexborHTMLParser(self.html()))
        # With a count of its own: another tree may have had its elements where these are.
        self._document._check(selector, root, SelectorCost())  # noqa: SLF001
        return [CssNode(one, self._document) for one in root.css(selector)[:MOST_NODES]]

    def xpath(self, path: CompiledXPath) -> list[Element | str]:
        """Return what is found."""
        found = path(self._node)
        if isinstance(found, float):
            return [f"{found:g}" if found != int(found) else str(int(found))] if found == found else []  # noqa: PLR0124
        if isinstance(found, bool):
            return [str(found).lower()]
        if isinstance(found, str):
            return [found] if found else []
        return [
            str(one) if isinstance(one, str) else XPathNode(one, self._document)
            for one in found[:MOST_NODES]
            if isinstance(one, str) or isinstance(one.tag, str)
        ]

    def text(self) -> str:
        """Return the text."""
        return _spaced(self._pieces())

    def html(self) -> str:
        """Return the HTML."""
        return str(etree.tostring(self._node, encoding="unicode", method="html", with_tail=False))

    def attribute(self, name: str) -> str | None:
        """Return an attribute."""
        value = self._node.get(name or _ADDRESSES.get(self._node.tag, "src"))
        return None if value is None else str(value)

    def _pieces(self) -> Iterator[str]:
        hidden = 0
        for event, node in etree.iterwalk(self._node, events=("start", "end")):
            tag = node.tag if isinstance(node.tag, str) else "script"
            is_hidden, edge = tag in _HIDDEN and node is not self._node, " " if tag in _BLOCKS else ""
            if event == "start":
                hidden += is_hidden
                if not hidden:
                    yield edge + (node.text or "")
                continue
            hidden -= is_hidden
            if not hidden and node is not self._node:
                yield edge + (node.tail or "")


def check_css(selector: str) -> None:
    """Raise `ValueError` for what is not a CSS selector."""
    try:
        _EMPTY.css(selector)
    except SelectolaxError:
        raise ValueError(
            f"`{selector}` is not a CSS selector, or not one that is supported{_meant(selector)}"
        ) from None
    if selector.count("(") != selector.count(")") and '"' not in selector and "'" not in selector:
        raise ValueError(f"`{selector}` is not a CSS selector: a parenthesis is not closed")


def _meant(selector: str) -> str:
    """Return what to write in the place of a selector in another crawler's form; empty for any other."""
    if "::text" in selector:
        return "; leave `::text` out, since an element's text is what is taken"
    if "::attr" in selector:
        return '; leave `::attr` out, and give attr = "href" in a declaration, or .attr("href") in a handler'
    if selector.lstrip("(").startswith(("/", "./")):
        return "; as an XPath expression it is given by xpath"
    return ""


def compiled_xpath(path: str) -> CompiledXPath:
    """Return the compiled expression. Raises `ValueError` for what is not an XPath expression."""
    try:
        # EXSLT's regular expressions are Python's: on some texts they never end.
        compiled: CompiledXPath = etree.XPath(path, regexp=False, smart_strings=False)
        compiled(_tree("<p></p>"))
    except (etree.XPathError, ValueError) as error:
        raise ValueError(f"`{path}` is not an XPath expression ({str(error).rstrip('.')})") from None
    return compiled


def _opened(parser: LexborHTMLParser) -> LexborNode:
    """Return the root with what is in declarative shadow roots in their hosts."""
    count = 0
    for _ in range(MOST_SHADOW_DEPTH):
        templates = parser.css("template[shadowrootmode]")
        if not templates:
            break
        for template in templates:
            count += 1
            if count > MOST_SHADOWS:
                raise Unreadable(f"there are more than {MOST_SHADOWS:,} shadow roots")
            for child in list(template.template_fragments()[0].iter(include_text=True)):
                template.insert_before(child, move=True)
            template.decompose()
    else:
        raise Unreadable(f"shadow roots are nested more than {MOST_SHADOW_DEPTH} deep")
    if parser.root is None:
        raise Unreadable("the HTML has no element")
    return parser.root


def _tree(html: str) -> Any:
    """Return libxml2's root; inert templates are removed, and shadow roots unwrapped."""
    tree = etree.fromstring(
        html.encode() or b"<html/>", etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_pis=True)
    )
    if tree is None:
        tree = etree.fromstring(b"<html/>", etree.HTMLParser())
    if "<template" in html:
        for template in list(tree.iter("template")):
            template.tag = "shadow-root" if template.get("shadowrootmode") else "template"
        etree.strip_tags(tree, "shadow-root")
        etree.strip_elements(tree, "template", with_tail=False)
    return tree


def _spaced(pieces: Any) -> str:
    return " ".join("".join(pieces)[:_TEXT_CHARS].split())


_EMPTY = LexborHTMLParser("<p></p>")

"""A page's HTML as Markdown, and the text of its main content. Runs only in a parser process.

Invariants: addresses are absolute and have no user names and passwords, hidden and empty elements are not
written, shadow roots are in the places where the page shows them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import ada_url
from lxml import etree, html

TEXT_CAP = 2_000_000
"""Characters of each of the two, like those of the visible text."""
_URL_CAP = 8_000
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_UNSEEN = (
    *("head", "script", "style", "noscript", "template", "svg", "iframe", "frame", "object", "embed"),
    *("canvas", "video", "audio", "select", "textarea", "input", "datalist"),
)
_EMPTY = (
    *_HEADINGS,
    "a",
    "li",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "b",
    "strong",
    "i",
    "em",
    "p",
    "blockquote",
    "table",
)
_ROWS = ("thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup", "col")
_INVISIBLE = (";display:none", ";visibility:hidden")
_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#\\]*@", re.IGNORECASE)
_SCHEMES = ("http://", "https://", "mailto:", "tel:")


def texts_of(source: bytes, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return `markdown` and `main_text` of the HTML in UTF-8, null where not wanted, and what was `truncated`.

    `wanted` has `url` (where the page ended), `markdown` and `main_text` (whether it is wanted).
    """
    parser = html.HTMLParser(huge_tree=True, encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(source, parser=parser)
    except etree.ParserError:
        # A document without an element.
        return {"markdown": "" if wanted["markdown"] else None, "main_text": None, "truncated": []}
    # The parser leaves out what stands deeper than it follows.
    is_cut = any("Excessive depth" in entry.message for entry in parser.error_log)
    _flatten_shadow_roots(root)
    base = _base(root, wanted["url"])
    _drop(root, list(root.iter(*_UNSEEN)))
    _drop(root, [one for one in root.iter(etree.Element) if _is_hidden(one)])
    _resolve(root, base)
    found: dict[str, Any] = {
        "main_text": _main_text(root, base) if wanted["main_text"] else None,
        "markdown": _markdown(root) if wanted["markdown"] else None,
    }
    long = [name for name, text in found.items() if text is not None and (is_cut or len(text) > TEXT_CAP)]
    return {name: text and text[:TEXT_CAP] for name, text in found.items()} | {"truncated": long}


def _markdown(root: Any) -> str:
    """Return the document as Markdown. Changes the tree."""
    from html_to_markdown import ConversionOptions, PreprocessingOptions, convert

    _drop_empty(root)
    _link_headings(root)
    _unfold_layout(root)
    # Its default leaves out navigation and forms, which belong to the whole page.
    whole = PreprocessingOptions(enabled=False)
    options = ConversionOptions(
        preprocessing=whole, extract_metadata=False, sub_symbol="~", sup_symbol="^", br_in_tables=True
    )
    result = convert(html.tostring(root, encoding="unicode"), options)
    return str(result.content or "").strip()


def _main_text(root: Any, url: str) -> str | None:
    """Return the main content as plain text; None if none is found."""
    import trafilatura

    text = trafilatura.extract(html.tostring(root, encoding="unicode"), url=url, include_comments=False)
    return str(text) if text else None


def _flatten_shadow_roots(root: Any) -> None:
    """Move the contents of shadow roots to their hosts, and slotted elements to their slots."""
    for template in [one for one in root.iter("template") if one.get("shadowrootmode")]:
        host = template.getparent()
        if host is None:
            continue
        light: dict[str, list[Any]] = {}
        for child in list(host):
            if child is not template and isinstance(child.tag, str):
                light.setdefault(child.get("slot", ""), []).append(child)
        text = " ".join(part for part in (host.text, template.tail) if part and part.strip())
        slots: dict[str, Any] = {}
        for slot in template.iter("slot"):
            slots.setdefault(slot.get("name", ""), slot)
        for name, slot in slots.items():
            shown = light.pop(name, [])
            if shown or (not name and text):
                slot[:] = shown
                slot.text = text if not name else None
        host.text = template.text
        # What has no slot is not shown.
        host[:] = list(template)


def _base(root: Any, url: str) -> str:
    named = next((one.get("href") for one in root.iter("base") if one.get("href")), None)
    return _joined(url, named) or url if named else url


def _joined(base: str, href: str) -> str | None:
    """Return an absolute address without user name and password; None if it leads nowhere."""
    if len(href) > _URL_CAP:
        return None
    try:
        url = str(ada_url.join_url(base, href))
    except ValueError:
        return None
    return _USERINFO.sub(r"\1", url) if url.lower().startswith(_SCHEMES) else None


def _is_hidden(element: Any) -> bool:
    style = ";" + "".join(element.get("style", "")[:1000].split()).lower()
    return "hidden" in element.attrib or any(one in style for one in _INVISIBLE)


def _drop(root: Any, elements: list[Any]) -> None:
    for element in elements:
        if element is not root and element.getparent() is not None:
            element.drop_tree()


def _resolve(root: Any, base: str) -> None:
    """Make the addresses of links and images absolute; without an address they are text."""
    for link in list(root.iter("a", "area")):
        url = _joined(base, link.get("href", "").strip()) if link.get("href") else None
        if url is None:
            link.drop_tag()
        else:
            link.set("href", url)
    for image in list(root.iter("img")):
        source = next((image.get(name) for name in ("src", "data-src") if image.get(name)), "")
        url = _joined(base, source.strip()) if source and not source.startswith("data:") else None
        if url is None:
            image.tail = " ".join(part for part in (image.get("alt"), image.tail) if part)
            image.drop_tree()
        else:
            image.set("src", url)


def _drop_empty(root: Any) -> None:
    """Drop headings, links, items and other elements that show nothing."""
    full: set[Any] = set()
    for element in reversed(list(root.iter(etree.Element))):
        has_text = bool(element.text and element.text.strip())
        if has_text or element.tag in {"img", "hr"} or element in full:
            full.add(element)
        elif element.tag in _EMPTY and element is not root:
            # Its tail stays, and counts for the parent below.
            parent, tail = element.getparent(), element.tail
            element.drop_tree()
            if tail and tail.strip():
                full.add(parent)
            continue
        parent = element.getparent()
        if parent is not None and (element in full or (element.tail and element.tail.strip())):
            full.add(parent)


def _link_headings(root: Any) -> None:
    """Move a link around a heading into the heading: Markdown has no links over several blocks."""
    for link in list(root.iter("a")):
        headings = list(link.iter(*_HEADINGS))
        for heading in headings:
            inner = etree.SubElement(heading, "a", href=link.get("href"))
            inner.text, heading.text = heading.text, None
            inner[:] = [child for child in heading if child is not inner]
        if headings:
            link.drop_tag()


def _unfold_layout(root: Any) -> None:
    """Replace layout tables by blocks; in other tables replace code and lists by lines.

    Markdown has no blocks in cells.
    """
    for table in reversed(list(root.iter("table"))):
        has_header = any(True for _ in _inside(table, ("th",)))
        blocks = ("table", *_HEADINGS) if has_header else ("table", "pre", *_HEADINGS)
        is_layout = table.get("role") in {"presentation", "none"} or any(True for _ in _inside(table, blocks))
        if is_layout:
            # The rows of a table within it are its own.
            for part in [
                table,
                *(one for one in _inside(table, _ROWS) if next(one.iterancestors("table")) is table),
            ]:
                part.tag = "div"
        else:
            for code in list(table.iter("pre")):
                _to_lines_of_code(code)
            for item in list(table.iter("li")):
                _to_line(item)
            for items in list(table.iter("ul", "ol")):
                items.tag = "span"


def _to_lines_of_code(block: Any) -> None:
    """Replace a block of code by lines of code, which a cell can contain."""
    lines = [line.rstrip() for line in block.text_content().strip("\n").split("\n")]
    for child in list(block):
        block.remove(child)
    block.tag, block.text = "span", None
    for line in (line for line in lines if line):
        etree.SubElement(block, "br")
        etree.SubElement(block, "code").text = line


def _to_line(item: Any) -> None:
    """Replace an item of a list by a line with the item's marker."""
    parent = item.getparent()
    number = f"{parent.index(item) + 1}." if parent.tag == "ol" else "-"
    text = f"{number} {(item.text or '').lstrip()}"
    item.tag = "span"
    if _begins(item) and _begins(parent):
        # A cell needs no break before its first line.
        item.text = text
        return
    line = etree.Element("br")
    line.tail, item.text = text, None
    item.insert(0, line)


def _begins(element: Any) -> bool:
    """Return whether the element is the first content of its parent."""
    parent = element.getparent()
    return element.getprevious() is None and not (parent.text and parent.text.strip())


def _inside(table: Any, tags: tuple[str, ...]) -> Iterator[Any]:
    return (one for one in table.iter(*tags) if one is not table)

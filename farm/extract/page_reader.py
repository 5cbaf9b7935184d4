"""Everything that a record needs of a page, read from its bytes by an HTML parser; no script of it is run.

By the rules and within the bounds of the browser's collector (`browser/js/collect.js`), which says the same of a
page whose scripts add nothing. What a cap cuts is named in `truncated`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ada_url import join_url
from selectolax.lexbor import LexborHTMLParser, LexborNode

from farm.extract.cascade import apply_styles
from farm.extract.charset import decoded
from farm.extract.nesting import check_nesting
from farm.extract.page_images import ListedImages
from farm.extract.page_metadata import PageMetadata
from farm.extract.script_signs import why_unfinished
from farm.extract.stylesheets import StyleRule, media_holds, rules_of
from farm.extract.visible_text import FoundLink, VisibleText, without_comments
from farm.model.page_caps import PageCaps, usable_base
from farm.model.url import origin_of

_NOT_TEXT = ["script", "style", "noscript", "template"]
_RAW = "xmp, plaintext"
"""Whose text the parser writes as it is."""
_SPACES = re.compile(r"\s+")
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_DOCTYPE = re.compile(
    r"<!doctype\s{1,9}([^\s<>]{1,100})\s{0,99}"
    r"(?:public\s{0,9}[\"']([^\"'<>]{0,300})[\"']\s{0,9}(?:[\"']([^\"'<>]{0,500})[\"'])?"
    r"|system\s{0,9}[\"']([^\"'<>]{0,500})[\"'])?",
    re.IGNORECASE,
)
_DOCTYPE_CHARS = 4_096
_OF_OBJECTS = frozenset({None, "", "text/html", "application/xhtml+xml", "image/svg+xml"})
"""The types of objects that may be documents."""
MOST_SHEETS = 30
"""Of a page."""
_OTHER_SCHEME_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class DocumentParams(PageCaps):
    """How a document is read that no browser has rendered."""

    width: int = 1280
    height: int = 800
    """Of the window, for what sheets say of its size."""


def page_of(body: bytes, arguments: dict[str, Any], sheets: Sequence[bytes] = ()) -> dict[str, Any]:
    """Return what the browser's collector returns of a page, as JSON has it.

    `arguments` are the page's `url`, its `content_type` and its `caps`, and in `sheets` the addresses of the style
    sheets that are given. Besides, `unlike` says why a browser may show something else than what stands in the
    HTML, empty where nothing says so, and `sheets` which style sheets the page has. Raises `Unreadable`.
    """
    text, charset = decoded(body, arguments["content_type"])
    check_nesting(text)
    given = dict(zip(arguments.get("sheets", ()), sheets, strict=True))
    reader = _PageReader(text, arguments["url"], DocumentParams(**arguments["caps"]), given)
    return {**reader.read(), "charset": charset}


def text_of(body: bytes, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the text of an answer that is no HTML, as `page_of` returns a page."""
    text, charset = decoded(body, arguments["content_type"])
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cap = arguments["caps"]["text_cap"]
    return {
        "title": "",
        "text": text[:cap],
        "html": "",
        "links": [],
        "robots": "",
        "canonical": None,
        "lang": "",
        "charset": charset,
        "metadata": None,
        "unlike": "",
        "truncated": ["text"] if len(text) > cap else [],
    }


class _PageReader:
    def __init__(self, html: str, url: str, caps: DocumentParams, sheets: Mapping[str, bytes]) -> None:
        self._parser = LexborHTMLParser(html, scripting=True)
        self._source = html
        self._sheets = sheets
        self._url = url
        self._caps = caps
        self._truncated: list[str] = []
        self._base = self._base_of()

    def read(self) -> dict[str, Any]:
        """Return all of it."""
        parser, caps = self._parser, self._caps
        root = parser.root
        html = self._html()
        metadata = PageMetadata(parser, self._base, caps.metadata_cap, caps.metadata_value_cap)
        said = metadata.said(has_items="itemscope" in html)
        if metadata.is_short:
            self._truncated.append("metadata")
        title, robots = self._cut(self._title(), caps.title_cap, "title"), self._robots()
        canonical = self._canonical()
        images = self._images() if caps.list_images else {}
        unlike = self._unlike(html)
        # What comes now takes the tree apart.
        for node in parser.css(_RAW) if "<xmp" in html or "<plaintext" in html else ():
            node.replace_with(node.text())
        sheets, is_styled = self._styled()
        unlike = unlike or ("" if is_styled else "it has more styles than are tried")
        parser.strip_tags(_NOT_TEXT)
        shown = parser.body
        found = VisibleText(without_comments(shown.html or "") if shown is not None else "", caps.link_cap)
        links = self._links(found)
        text = self._cut(found.text, caps.text_cap, "text")
        if caps.html_of_text is not None and len(found.text) > caps.html_of_text:
            html = ""
        return {
            "title": title,
            "text": text,
            "html": self._cut(html, caps.html_cap, "html"),
            "links": links,
            "robots": self._cut(robots, caps.word_cap, "robots"),
            "canonical": canonical,
            "lang": self._cut((root.attributes.get("lang") or "") if root else "", caps.word_cap, "lang"),
            "metadata": said,
            **images,
            "unlike": unlike or why_unfinished(self._source, len(text)),
            "sheets": sheets,
            "truncated": self._truncated,
        }

    def _styled(self) -> tuple[list[str], bool]:
        """Apply the styles of the page; return the addresses of its sheets, and whether all rules were tried."""
        caps, rules, wanted = self._caps, list[Sequence[StyleRule]](), list[str]()
        for node in self._parser.css("link, style"):
            attributes = node.attributes
            if not media_holds(attributes.get("media") or "", caps.width, caps.height):
                continue
            if node.tag == "style":
                rules.append(rules_of(node.text(), caps.width, caps.height))
                continue
            rel = (attributes.get("rel") or "").lower().split()
            url = self._resolved(attributes.get("href") or "") if "stylesheet" in rel else ""
            is_used = "alternate" not in rel and "disabled" not in attributes
            if is_used and url.startswith(("http:", "https:")) and len(wanted) < MOST_SHEETS:
                wanted.append(url)
                css = self._sheets.get(url, b"").decode("utf-8", "replace")
                rules.append(rules_of(css, caps.width, caps.height))
        return wanted, apply_styles(self._parser, rules)

    def _html(self) -> str:
        """Return the doctype and the root element, as the browser's collector writes them."""
        root = self._parser.root.html if self._parser.root is not None else None
        if not root:
            return ""
        before = without_comments((self._parser.html or "").partition(root)[0])
        return f"{self._doctype()}\n{root}" if "<!DOCTYPE" in before else root

    def _doctype(self) -> str:
        """Return the doctype, of which the parser writes the name alone."""
        found = _DOCTYPE.search(self._source[:_DOCTYPE_CHARS])
        if found is None:
            return "<!DOCTYPE html>"
        name, public, system, alone = found.groups()
        identifiers = f' PUBLIC "{public}"' if public is not None else ""
        if system is not None or alone is not None:
            identifiers += f' "{system}"' if system is not None else f' SYSTEM "{alone}"'
        return f"<!DOCTYPE {name.lower()}{identifiers}>"

    def _cut(self, text: str, cap: int, name: str) -> str:
        if len(text) <= cap:
            return text
        self._truncated.append(name)
        return text[:cap]

    def _base_of(self) -> str:
        base = next((one.attributes.get("href") for one in self._parser.css("base[href]")), None)
        try:
            return join_url(self._url, usable_base(base)) if base is not None else self._url
        except ValueError:
            return self._url

    def _title(self) -> str:
        found = next((one for one in self._parser.css("title") if not _is_drawn(one)), None)
        return _BLANKS.sub(" ", found.text()).strip(" ") if found is not None else ""

    def _robots(self) -> str:
        # For all robots, and for the farm alone.
        found = self._parser.css('meta[name*="robots" i], meta[name*="crawlfarm" i]')
        metas = [one.attributes for one in found]
        named = [one for one in metas if (one.get("name") or "").strip().lower() in {"robots", "crawlfarm"}]
        # Several add up: what any of them forbids is forbidden.
        return ", ".join(one.get("content") or "" for one in named)

    def _canonical(self) -> str | None:
        found = self._parser.css_first('link[rel~="canonical" i][href]')
        if found is None:
            return None
        href = found.attributes["href"] or ""
        try:
            url = join_url(self._base, href)
        except ValueError:
            url = href
        if len(url) > self._caps.url_cap:
            self._truncated.append("canonical")
            return None
        return url

    def _unlike(self, html: str) -> str:
        """Return why a browser may show another page than stands in the HTML."""
        if "shadowrootmode" in html and self._parser.css_first("template[shadowrootmode]") is not None:
            return "it declares shadow roots"
        if 'http-equiv="' in html:
            for meta in self._parser.css('meta[http-equiv="refresh" i]'):
                content = (meta.attributes.get("content") or "").replace(",", ";")
                if content.partition(";")[2].strip():
                    return "it sends its visitors on"
        own = origin_of(self._url)
        has_frames = any(opening in html for opening in ("<iframe", "<frame", "<object"))
        for frame in self._parser.css("iframe, frame, object[data]") if has_frames else ():
            if frame.tag == "object" and frame.attributes.get("type") not in _OF_OBJECTS:
                continue
            src = self._resolved(frame.attributes.get("src") or frame.attributes.get("data") or "about:blank")
            if "srcdoc" in frame.attributes or origin_of(src) == own:
                return "a frame of its own belongs to it"
        return ""

    def _resolved(self, href: str) -> str:
        try:
            return join_url(self._base, href)
        except ValueError:
            return ""

    def _links(self, found: VisibleText) -> list[tuple[str, str, str]]:
        caps = self._caps
        links: list[tuple[str, str, str]] = []
        chars, lacks = 0, found.lacks_links
        for one in found.links:
            url = self._resolved(one.href)
            is_web = url.startswith(("http:", "https:"))
            if not url or (not is_web and one.element in {"iframe", "frame"}):
                continue
            if not is_web:
                url = url[:_OTHER_SCHEME_CHARS]
            label = self._label(one)
            chars += len(url) + len(label) + len(one.rel)
            if chars > caps.links_cap:
                lacks = True
                break
            if len(url) > caps.url_cap:
                lacks = True
                continue
            links.append((url, label, one.rel[: caps.word_cap]))
        if lacks:
            self._truncated.append("links")
        return links

    def _label(self, link: FoundLink) -> str:
        text = "".join(link.parts).strip() or link.other_label
        return _SPACES.sub(" ", text).strip()[: self._caps.link_text_cap]

    def _images(self) -> dict[str, Any]:
        listed = ListedImages(self._base, self._caps)
        for node in self._parser.css("img"):
            listed.image(node)
        for node in self._parser.css("video, audio"):
            listed.medium(node)
        if listed.is_full or listed.is_short:
            self._truncated.append("images")
        return {"images": listed.images, "media": listed.media}


def _is_drawn(node: LexborNode) -> bool:
    around = node.parent
    return around is not None and around.tag == "svg"

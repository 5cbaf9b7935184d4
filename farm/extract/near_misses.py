"""Suggestions for a CSS selector that matches nothing on a page."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from farm.extract.documents import Document, check_css
from farm.extract.engine import Extractor, PageContent, extractor_of, page_of_arguments
from farm.extract.nesting import Unreadable

_SIMPLE = re.compile(r"[.#]?[A-Za-z_][\w-]{0,100}")
_MOST_TRIED = 20


def _near(document: Document, selector: str, known: Sequence[str]) -> str:
    """Return the most similar selector that matches something, and how often; an empty text without one."""
    tried = 0
    for found in _SIMPLE.finditer(selector):
        for name in () if found[0] in known else get_close_matches(found[0], known, n=3):
            tried += 1
            if tried > _MOST_TRIED:
                return ""
            other = selector[: found.start()] + name + selector[found.end() :]
            with suppress(ValueError, Unreadable):
                check_css(other)
                if count := len(document.css(other)):
                    return f"`{other}` matches {count:,}"
    return ""


def near_misses(extractor: Extractor, page: PageContent) -> Mapping[str, str]:
    """Return each selector that matches nothing, with the most similar one that does: `` `.price` matches 12``.

    Raises `Unreadable`.
    """
    document = Document(page.html)
    found: dict[str, str] = {}
    known = sorted(document.names())
    for kind, match, rule in extractor.rules:
        sources = [rule.each, *rule.fields.values()] if rule.each else [*rule.fields.values()]
        for selector in (one.css for one in sources if one.css is not None):
            if match(page.url) and not document.css(selector):
                meant = _near(document, selector, known)
                found[f"{kind}: `{selector}` matches nothing"] = f"; {meant}" if meant else ""
    return found


def near_misses_of(texts: Sequence[bytes], arguments: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the same for a page that a parser process is given; nothing of one that cannot be read."""
    try:
        return near_misses(extractor_of(arguments["declaration"]), page_of_arguments(texts, arguments))
    except Unreadable:
        return {}

"""Signs that a document waits for its scripts, so that a browser shows more than was sent.

A page with a sign is rendered by a browser immediately, before a comparison is due; the absence of signs proves
nothing. Only pages with a short text are searched: a page that the server rendered may have signs too, for later
work of its scripts, and costs nothing here.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

FRAME_CHARS = 2_000
"""A shorter text may be only that of a menu and a footer."""
SHORT_CHARS = 500
"""A shorter text is little for a page."""
_ROOTS = ("root", "app", "__next", "__nuxt", "___gatsby", "svelte", "react-root", "main-app", "application")
_ROOT = ", ".join(("app-root", *(f"#{name}" for name in _ROOTS)))
_ISLANDS = 'script[type="application/json" i], script#__NEXT_DATA__, script#__NUXT_DATA__'
_SPINS = ("spinner", "loader", "loading", "skeleton")
_SPINNER = ", ".join(('[role="progressbar" i]', *(f'[class~="{word}" i]' for word in _SPINS)))
_ASKS = re.compile(
    r"(?:enable|activate|turn on|require|need|without|aktivier|activ|habilit)[^<>]{0,80}java\s?script"
    r"|java\s?script[^<>]{0,80}(?:enable|activate|turned on|require|need|disabled|aktivier|activ|habilit)",
    re.IGNORECASE,
)
_ASKED_CHARS = 2_000


def why_unfinished(html: str, text_chars: int) -> str:
    """Return why a page with this many characters of visible text waits for its scripts; empty without a sign."""
    if text_chars >= FRAME_CHARS or "<script" not in html:
        return ""
    return next(_signs(LexborHTMLParser(html, scripting=True), text_chars), "")


def _signs(parser: LexborHTMLParser, text_chars: int) -> Iterator[str]:
    if any(map(_is_empty, parser.css(_ROOT))):
        yield "an empty root waits for its script"
    if parser.css_first('[aria-busy="true"]') is not None:
        yield "a part of it is busy"
    if text_chars >= SHORT_CHARS:
        return
    if any(_ASKS.search((one.text() or "")[:_ASKED_CHARS]) for one in parser.css("noscript")):
        yield "it asks for scripts"
    if parser.css_first(_SPINNER) is not None:
        yield "it shows that it loads"
    if sum(len(one.text() or "") for one in parser.css(_ISLANDS)) > text_chars:
        yield "it has more data than text"


def _is_empty(root: LexborNode) -> bool:
    return not (root.text() or "").strip() and root.css_first("img, svg, canvas, video") is None

"""The position in the view, and the effect of keys: pure, so that every key can be tested without a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from farm.monitor.tables import SITE_ORDERS


class ViewPage(StrEnum):
    """The pages of the view; each has a digit, in this order."""

    OVERVIEW = "overview"
    SITES = "sites"
    PROXIES = "proxies"
    NODES = "nodes"
    DEAD = "dead letters"
    EVENTS = "events"
    KEYS = "keys"


class Act(StrEnum):
    """The commands of keys beyond the view itself."""

    PAUSE = "pause"
    """Pause the crawl, or resume it."""
    MORE = "more"
    FEWER = "fewer"
    READ_DEAD = "read dead letters"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Browsing:
    """A position in the view. `chosen` is the key of a row, `at` its last place; `is_open` shows it alone.

    `pattern` is what rows must contain, and `is_typing` whether it is being typed; `order` is that of the sites.
    """

    page: ViewPage = ViewPage.OVERVIEW
    chosen: str = ""
    at: int = 0
    is_open: bool = False
    order: int = 0
    pattern: str = ""
    is_typing: bool = False


KEYS = (
    ("1 to 6", "overview, sites, proxies, nodes, dead letters, events; Tab: the next"),
    ("up, down, k, j", "another row; PgUp, PgDn, Home, End"),
    ("Enter", "all that is known of the row; Esc goes back"),
    ("/", "only rows that contain a text; Enter ends it, Esc takes it back"),
    ("s", "another order of the sites"),
    ("p", "pause the crawl on all nodes, or let it go on; it lasts until then"),
    ("+, -", "more or fewer contexts of this node; in `farm top` of the one chosen, or of each"),
    ("q", "back; from the overview out of `farm top`"),
    ("Ctrl-C", "finish the pages under way and stop; in `farm top` leave"),
)
_PAGES = tuple(ViewPage)[:-1]
_LONGEST_PATTERN = 60
_LEAP = 10
_MOVES = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "pgup": -_LEAP,
    "pgdn": _LEAP,
    "home": -(1 << 30),
    "end": 1 << 30,
}
_ACTS = {"p": Act.PAUSE, "+": Act.MORE, "=": Act.MORE, "-": Act.FEWER}


def pressed(  # noqa: C901, PLR0911 - one case for each key
    place: Browsing, key: str, rows: Sequence[str]
) -> tuple[Browsing, Act | None]:
    """Return the position after a key, and the command to run.

    `rows` are the keys of the page's current rows. An unknown key changes nothing.
    """
    if place.is_typing:
        return _typed(place, key), None
    if key in _ACTS:
        return place, _ACTS[key]
    if key in _MOVES:
        at = max(0, min(position(place, rows) + _MOVES[key], len(rows) - 1))
        return replace(place, at=at, chosen=rows[at] if rows else ""), None
    if key.isdecimal() and 0 < int(key) <= len(_PAGES):
        return _turned(place, _PAGES[int(key) - 1])
    match key:
        case "tab":
            at = _PAGES.index(place.page) if place.page in _PAGES else -1
            return _turned(place, _PAGES[(at + 1) % len(_PAGES)])
        case "?":
            return _turned(place, ViewPage.KEYS)
        case "enter" if rows and not place.is_open:
            at = position(place, rows)
            return replace(place, is_open=True, at=at, chosen=rows[at]), None
        case "esc" | "q" | "left" | "backspace":
            return _back(place, key)
        case "/" if place.page not in {ViewPage.OVERVIEW, ViewPage.KEYS}:
            return replace(place, is_typing=True, is_open=False, pattern=""), None
        case "s" if place.page is ViewPage.SITES:
            return replace(place, order=(place.order + 1) % len(SITE_ORDERS), at=0, chosen=""), None
    return place, None


def position(place: Browsing, rows: Sequence[str]) -> int:
    """Return the chosen row: the one with its key, or else the one at its last place."""
    if place.chosen in rows:
        return rows.index(place.chosen)
    return max(0, min(place.at, len(rows) - 1))


def _turned(place: Browsing, page: ViewPage) -> tuple[Browsing, Act | None]:
    if page is place.page:
        return replace(place, is_open=False), None
    return Browsing(page, order=place.order), Act.READ_DEAD if page is ViewPage.DEAD else None


def _back(place: Browsing, key: str) -> tuple[Browsing, Act | None]:
    if place.is_open:
        return replace(place, is_open=False), None
    if place.pattern:
        return replace(place, pattern=""), None
    if place.page is ViewPage.OVERVIEW:
        return place, Act.QUIT if key == "q" else None
    return Browsing(order=place.order), None


def _typed(place: Browsing, key: str) -> Browsing:
    match key:
        case "enter":
            return replace(place, is_typing=False, at=0, chosen="")
        case "esc":
            return replace(place, is_typing=False, pattern="")
        case "backspace":
            return replace(place, pattern=place.pattern[:-1])
    if len(key) == 1 and key.isprintable() and len(place.pattern) < _LONGEST_PATTERN:
        return replace(place, pattern=place.pattern + key)
    return place

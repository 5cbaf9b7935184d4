"""Detects soft 404s, login walls and empty shells: pages that are not the requested one, though nobody is blocked.

Invariant: one sign is not enough. A title may say "not found" about lost property, many headers contain a password
field, and a page with a single picture has no text either.
"""

import re
from itertools import islice

from farm.detect.page_features import LONGEST_SIGN, PageFeatures, tags
from farm.model.page import Detection, Finding
from farm.model.url import path_of

OK = range(200, 300)
SHORT = 1_500

_NOT_FOUND = re.compile(
    # The number alone, beside a mark, or with a word of errors: `404 Main Street` and `Peugeot 404` are pages.
    r"^\W*(error\W+404\b|404(\W*$|\W?[|:·!.]|\s-\s|\s?[^\x00-\x7f]"
    r"|\W+(error|not|page|file|seite|fehler|nicht|p[aá]gina|erreur)\b))"
    r"|([-|:·(\[\u2013\u2014]\W?|\b(error|http|status|(error|status) code|page|oops|found|fehler|erreur|errore?"
    r"|p[aá]gina)\W{1,3})404\W*$"
    r"|^(sorry\W+)?((this|that|the) )?(page|product|item|article|document|site)"
    r" (was |is |has )?(not (be )?(found|available)|could(n.t| not) be found|no longer (exists|available)"
    r"|does(n.t| not) exist|been removed|unavailable)"
    r"|^not found\b|\bpage not found\W*$"
    r"|seite (wurde )?nicht gefunden|page (introuvable|non trouvée)|página no encontrada|pagina non trovata"
    r"|pagina niet gevonden|nie znaleziono strony|страница не найдена|ページが見つかりません|页面(不存在|未找到)",
    re.IGNORECASE,
)
_NOTHING_HERE = re.compile(
    r"(page|product|item|article|url|address|link)[^.]{0,60}(could(n.t| not) be found|was(n.t| not) found"
    r"|can(no|')t be found|no longer (exists|available)|does(n.t| not) exist|has been (removed|moved or deleted))"
    r"|can.?(no)?t find (the|that|this) page|there is nothing here|nothing (was )?found here|page not found",
)
# Search markup tag by tag (`tags`): a pattern that searches for the end of a tag from every `<` takes quadratic
# time.
_HEADING = re.compile(r"<h[12]\b[^>]*")
_HEADING_END = re.compile(r"</h[12]>")
_TAG = re.compile(r"<[^<>]*>")
_HEADINGS = 50
_HEADING_CHARS = 300

_LOGIN_PATH = re.compile(r"/(log-?in|sign-?in|auth|sso|account/login|session/new|wp-login)\b", re.IGNORECASE)
_LOGIN_TITLE = re.compile(
    r"\b(log ?in|sign ?in|anmelden|einloggen|connexion|iniciar sesión|accedi)\b", re.IGNORECASE
)
_LOGIN_DEMAND = re.compile(
    r"(you (must|need to|have to)( be)?|please) (log(ged)? ?in|sign(ed)? ?in)"
    r"|(log|sign) ?in to (continue|view|see|access|read)"
)
_INPUT = re.compile(r"<input[^>]*")
_PASSWORD = re.compile(r"type=[\"']?password")
_SEEN = re.compile(r"<(img|picture|video|audio|canvas|svg|iframe|frame|object|embed|input|button|select)\b")
_CONTAINER = re.compile(r"<(?:div|main)\b[^>]*")
_MOUNT = re.compile(r"\bid=[\"']?(root|app|__next|__nuxt|main|svelte|ember)")


def find(page: PageFeatures) -> Detection | None:
    """Return the detection for an HTML page with a 2xx status; the status of other pages is enough."""
    if not page.is_html or page.status not in OK:
        return None
    return _soft_404(page) or _login_wall(page) or _empty_shell(page)


def _soft_404(page: PageFeatures) -> Detection | None:
    if page.text_chars > SHORT:
        return None
    title, text = _NOT_FOUND.search(page.title), _NOTHING_HERE.search(page.words)
    if title is None and text is None:
        return None  # a heading alone is not enough, and headings take time to find
    heading = next(filter(None, map(_NOT_FOUND.search, _headings(page.markup[:50_000]))), None)
    found = {"title": title, "heading": heading, "text": text}
    signs = [f"{name}: {match[0]}" for name, match in found.items() if match is not None]
    return Detection(Finding.SOFT_404, "", tuple(signs)) if len(signs) > 1 else None


def _login_wall(page: PageFeatures) -> Detection | None:
    if page.text_chars > SHORT or not any(map(_PASSWORD.search, tags(_INPUT, page.markup))):
        return None
    signs = ["a password field"]
    path = path_of(page.final_url)
    if _LOGIN_PATH.search(path):
        if not page.redirects:
            return None  # a login page that was itself requested, whatever it says
        signs.append(f"sent to {path}"[:LONGEST_SIGN])
    if text := _LOGIN_DEMAND.search(page.words):
        signs.append(f"text: {text[0]}")
    if len(signs) == 1:
        return None
    if found := _LOGIN_TITLE.search(page.title):
        signs.append(f"title: {found[0]}")
    return Detection(Finding.LOGIN_WALL, "", tuple(signs))


def _empty_shell(page: PageFeatures) -> Detection | None:
    if page.text_chars or page.links or "<script" not in page.markup or _SEEN.search(page.markup):
        return None
    signs = ["no text, no link, nothing to see", "scripts"]
    if found := next(filter(_MOUNT.search, tags(_CONTAINER, page.markup)), None):
        signs.append(f"markup: {found}>"[:LONGEST_SIGN])
    return Detection(Finding.EMPTY_SHELL, "", tuple(signs))


def _headings(markup: str) -> list[str]:
    """Return the text of the first headings; headings that are too long are skipped."""
    found = []
    for heading in islice(_HEADING.finditer(markup), _HEADINGS):
        begins = heading.end() + 1
        ends = _HEADING_END.search(markup, begins, begins + _HEADING_CHARS + len("</h1>"))
        if ends is not None:
            found.append(_TAG.sub("", markup[begins : ends.start()]).strip())
    return found

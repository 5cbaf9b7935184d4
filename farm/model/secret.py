"""Secrets, and the environment that other processes get.

Invariants: neither `str` nor `repr` of a secret, and so no log line, error, record or dump of settings,
shows its text; code that needs the text calls `reveal`. Secrets are users and passwords of proxies and of Redis,
and headers.

Environment variables carry secrets too (`FARM_REDIS`, tokens of other programs). Every process inherits them, and
a browser executes code of strangers: the farm's processes get only the variables that programs need to run.
"""

import html
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
_FORM_CHARS = 6
"""Another form of a secret that is shorter occurs in any text."""
USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#\\]*@", re.IGNORECASE)
"""How an address begins that has a user or a password; its first group stays."""
_USERINFO_INSIDE = re.compile(r"(://)[^\s/?#\\@]{1,300}@")
_SECRET_HEADER = re.compile(
    r"cookie|authoriz|authentication-info|token|session|secret|passw|api-?key", re.IGNORECASE
)


@lru_cache(1_000)
def is_secret_header(name: str) -> bool:
    """Return whether the name of a header suggests that it carries a secret."""
    return _SECRET_HEADER.search(name) is not None


def without_credentials(text: str) -> str:
    """Return a text without the names and passwords in its addresses."""
    return _USERINFO_INSIDE.sub(r"\1", text) if "@" in text else text


def forms_of(secret: str) -> set[str]:
    """Return a secret as it is, as an address writes it, and what it is where it was written so itself."""
    others = {quote(secret, safe="!~*'()"), unquote(secret)}
    return {secret, *(form for form in others if len(form) >= _FORM_CHARS)} - {""}


def without_secrets(text: str, secrets: Sequence[str]) -> str:
    """Return a text or HTML without these secrets, as they are or as HTML and addresses write them.

    Those in addresses are left out too.
    """
    for secret in secrets:
        for form in forms_of(secret):
            for written in {form, html.escape(form), html.escape(form, quote=False)}:
                text = text.replace(written, MASK)
    return without_credentials(text)


class Secret:
    """A text that only `reveal` shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, to send it; never put it into a message."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)


class SecretUrl(Secret):
    """A URL of which user, password and query are not shown."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, mark, rest = self._text.partition("://")
        if not mark:
            # `embedded`, or a malformed URL that may be nothing but a password.
            return MASK if set("@:/") & set(self._text) else self._text
        # Up to the last @, since a password that was not written in percent form may have one.
        _, at, place = rest.rpartition("@")
        place, query, _ = place.partition("?")
        return f"{scheme}://{MASK + '@' if at else ''}{place}{query}{MASK if query else ''}"


class SecretPathUrl(SecretUrl):
    """A URL of which the place alone is shown: in many addresses of webhooks the path is the secret."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, mark, rest = super().__str__().partition("://")
        place, slash, path = rest.partition("/")
        return f"{scheme}{mark}{place}{slash}{MASK if path else ''}"


class SecretHeader(Secret):
    """A header line `Name: value` of which the value is not shown."""

    __slots__ = ()

    def __str__(self) -> str:
        name, colon, _ = self._text.partition(":")
        return f"{name}: {MASK}" if colon else MASK


KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "FONTCONFIG_PATH",
    "FONTCONFIG_FILE",
)


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that a process of the farm gets."""
    return {name: environment[name] for name in KEPT if name in environment}

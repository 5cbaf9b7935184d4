"""What a page turns out to be when it is not the page that was asked for."""

from dataclasses import dataclass
from enum import StrEnum


class Finding(StrEnum):
    """The kinds of page that stand in place of the one that was asked for."""

    BLOCK = "block"
    """A refusal: nothing that the visitor does on this page lets it in."""
    CAPTCHA = "captcha"
    """A task for a person."""
    CHALLENGE = "challenge"
    """A task for the browser."""
    SOFT_404 = "soft_404"
    """Says that there is nothing, with a status that says that there is."""
    LOGIN_WALL = "login_wall"
    EMPTY_SHELL = "empty_shell"
    """A document whose scripts never filled it."""


_BLOCKING = frozenset({Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE})


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found, `by` whom the visitor is kept out (empty where nobody does), and the signs of it."""

    finding: Finding
    by: str
    signs: tuple[str, ...]

    @property
    def blocks(self) -> bool:
        """Whether another address could get another page."""
        return self.finding in _BLOCKING

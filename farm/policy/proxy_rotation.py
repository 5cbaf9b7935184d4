"""Proxy rotation: when a slot takes another proxy, and which one.

Pure. A new rotation is a member of `Rotation` and its rules below; `--proxy-rotation` takes its names from here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b


class Rotation(StrEnum):
    """When a slot takes another proxy."""

    CONTEXT = "context"
    PAGE = "page"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What speaks for and against a usable proxy.

    `users` is how many slots use it now, and `used_at` the number of the choice that it was chosen by last. With
    `has_due_trial` a visit must show whether it is back; `is_suspect` after a recent failure, `is_poor` below the
    score from which proxies are equal.
    """

    users: int
    used_at: int
    has_due_trial: bool = False
    is_suspect: bool = False
    is_poor: bool = False


def keeps_proxy(rotation: Rotation, pages: int, most: int) -> bool:
    """Return whether a slot keeps a proxy that has served `pages` pages; a context serves `most`."""
    match rotation:
        case Rotation.CONTEXT:
            return pages < most
        case Rotation.PAGE:
            return pages == 0
        case Rotation.SITE:
            return True


def depends_on_site(rotation: Rotation) -> bool:
    """Return whether the site decides on the proxy, so that none can be named before a URL is leased."""
    return rotation is Rotation.SITE


def choose(
    rotation: Rotation, labels: Sequence[str], site: str | None, candidate: Callable[[str], Candidate]
) -> str:
    """Return the label of the proxy to use; `labels` are those of usable proxies, at least one.

    A site's own proxy is chosen by rendezvous hashing (D. Thaler, C. Ravishankar, 1998): every node chooses the
    same one, and few sites change theirs when the list does.
    """
    if rotation is Rotation.SITE and site is not None:
        return max(labels, key=lambda label: blake2b(f"{site} {label}".encode()).digest())

    def rank(label: str) -> tuple[bool, bool, int, bool, int]:
        one = candidate(label)
        load = one.used_at if rotation is Rotation.PAGE else one.users
        return not one.has_due_trial, one.is_suspect, load, one.is_poor, one.used_at

    return min(labels, key=rank)

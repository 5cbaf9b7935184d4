"""The scripts that read a page, and the check of their answers.

They are the same for every engine: `js/settle.js` waits, `js/collect.js` reads, and the answer is checked here
before it is used, since a page may have forged it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson

from farm.browser.driver import READING, decoded, script
from farm.browser.metadata import metadata_of
from farm.model.egress import media_type_of
from farm.model.errors import RenderError
from farm.model.outcome import FailureKind
from farm.model.page import Image, Link, Media, RenderedPage
from farm.model.page_caps import PageCaps

HOOK = f"{{\n{script('platform.js', 'frames.js', 'hook.js')}\n}}\n"
"""In a block, so that the page sees none of its names."""
FLOOD, NO_IMAGES = script("flood.js"), script("no_images.js")
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", ""})
"""The types of what has links, text and HTML of its own."""
_TEXTS = ("title", "text", "html", "robots", "lang", "charset", "came")
_TEXT, _SIDE = frozenset({str}), frozenset({int, type(None)})
NOT_YET = ("frame", "leaving", "later")
"""What a page answers that is not settled yet."""
_CAPS = {one.name: re.sub(r"_([a-z])", lambda found: found[1].upper(), one.name) for one in fields(PageCaps)}
"""How the scripts write the caps."""


@dataclass(frozen=True, slots=True)
class ReadParams(PageCaps):
    """How a page is read: `wait` is `settle`, `load`, `domcontentloaded` or `css`, for which `selector` counts.

    What `logged_in` matches shows a session.
    """

    wait: str = "settle"
    selector: str = ""
    logged_in: str = ""
    settle_timeout_s: float = 10.0
    quiet_ms: int = 50
    all_cap: int = 20_000_000
    """Characters of all of it, as they are written."""


@dataclass(frozen=True, slots=True)
class PageWait:
    """How to wait for a page; `wait` and `selector` as in `ReadParams`, `left_s` seconds at most.

    `nonce` is the name of the events by which `js/hook.js` reports the pending work of the page.
    """

    nonce: str
    wait: str
    selector: str
    quiet_ms: int
    left_s: float


def hook(nonce: str, *, on_demand: bool, images: bool) -> str:
    """Return the script for the page's own world that runs before its scripts and counts its pending work.

    `on_demand` says that frames are made on demand only, `images` that they are loaded.
    """
    source = HOOK.replace('"NONCE"', f'"{nonce}"').replace('"ON_DEMAND"', str(on_demand).lower()) + FLOOD
    return source if images else source + NO_IMAGES


def caps_of(params: ReadParams, *, is_page: bool) -> str:
    """Return the caps as the scripts take them, an object of JSON."""
    caps = {written: getattr(params, name) for name, written in _CAPS.items()} | {
        "allCap": params.all_cap,
        "listImages": params.list_images and is_page,
        "isPage": is_page,
        **({"loggedIn": params.logged_in} if params.logged_in else {}),
    }
    return orjson.dumps(caps).decode()


def settling(asked: PageWait, state: Mapping[str, bool], caps: str | None) -> str:
    """Return the expression that waits and, with `caps`, reads: a promise of what `checked` takes.

    `state` are the caller's facts about the page: `framed`, `stayed`, `inert`, `onDemand`.
    """
    settle = {
        "nonce": asked.nonce,
        "wait": asked.wait,
        "selector": asked.selector,
        "quietMs": asked.quiet_ms,
        "capMs": round(asked.left_s * 1000),
        **state,
    }
    read = "JSON.stringify({ url: location.href, ...settled })"
    if caps is not None:
        read = f"((caps) => bounded({{ ...collect(caps), ...settled }}, caps))({caps})"
    # One string passes through browser and driver as it is: both would build every link anew.
    return (
        f"settle({orjson.dumps(settle).decode()}).then((settled) =>"
        f" 'settled' in settled ? {read} : JSON.stringify(settled))"
    )


def checked(said: Any) -> dict[str, Any]:
    """Return the checked answer of a page's world; raises RenderError if it does not have the expected form."""
    try:
        seen = decoded(said)
    except (ValueError, TypeError, RecursionError):
        seen = None
    if not isinstance(seen, dict) or not (any(map(seen.get, NOT_YET)) or _is_whole(seen)):
        raise RenderError(FailureKind.CRASH, "the page could not be read: its answer is none")
    return seen


def _is_whole(seen: dict[str, Any]) -> bool:
    if not all(isinstance(seen.get(name), str) for name in ("url", "reason")):
        return False
    if not isinstance(seen.get("settled"), bool):
        return False
    if "links" not in seen:
        return True  # it was not to be read yet
    return (
        all(isinstance(seen.get(name), str) for name in _TEXTS)
        and isinstance(seen.get("canonical"), str | None)
        and isinstance(seen.get("loggedIn"), bool | None)
        and isinstance(seen.get("truncated"), list)
        and all(isinstance(one, str) for one in seen["truncated"])
        and _are_rows(seen["links"], _TEXT, _TEXT, _TEXT)
        and _are_rows(seen.get("images", []), _TEXT, _TEXT, _SIDE, _SIDE)
        and _are_rows(seen.get("media", []), _TEXT, _TEXT)
        and (seen.get("metadata") is None or _is_metadata(seen["metadata"]))
    )


def _are_rows(said: Any, *types: frozenset[type]) -> bool:
    if not isinstance(said, list) or not all(
        isinstance(one, list) and len(one) == len(types) for one in said
    ):
        return False
    # By columns: a page has hundreds of links.
    columns = zip(*said, strict=True)
    return all(types[number].issuperset(map(type, column)) for number, column in enumerate(columns))


def _is_metadata(said: Any) -> bool:
    return (
        isinstance(said, dict)
        and isinstance(said.get("ld"), list)
        and all(isinstance(one, str) for one in said["ld"])
        and all(isinstance(said.get(name), dict) for name in ("graph", "twitter"))
        and isinstance(said.get("items"), list)
    )


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """The answer of the document that was read, and the redirects to it; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    redirects: tuple[str, ...] = ()
    redirect_statuses: tuple[int, ...] = ()


def page_of(seen: Mapping[str, Any], head: DocumentHead, timings_ms: Mapping[str, int]) -> RenderedPage:
    """Return the page from a complete answer."""
    content_type = head.headers.get("content-type", "")
    return RenderedPage(
        final_url=seen["url"],
        status=head.status,
        headers=head.headers,
        content_type=content_type,
        title=seen["title"],
        text=seen["text"],
        html=seen["html"] if media_type_of(content_type) in PAGE_TYPES else "",
        links=tuple(Link(url, text, rel) for url, text, rel in seen["links"]),
        settled=seen["settled"],
        settle_reason=seen["reason"],
        redirects=head.redirects,
        redirect_statuses=head.redirect_statuses,
        robots=seen["robots"],
        canonical=seen["canonical"],
        lang=seen["lang"],
        charset=seen["charset"],
        metadata=metadata_of(seen.get("metadata")),
        images=tuple(Image(*one) for one in seen["images"]) if "images" in seen else None,
        media=tuple(Media(*one) for one in seen["media"]) if "media" in seen else None,
        timings_ms=timings_ms,
        truncated=tuple(seen["truncated"]),
        logged_in=seen.get("loggedIn"),
    )


class Collector:
    """The scripts for an engine other than Chromium. `images` says whether it loads images."""

    reading = READING
    """The scripts that `expression` needs in its world."""

    def __init__(self, params: ReadParams, *, images: bool) -> None:
        self._params = params
        self._images = images
        self._caps = caps_of(params, is_page=True)

    def hook(self, nonce: str) -> str:
        """Return the script for the page's own world that runs before its scripts."""
        return hook(nonce, on_demand=False, images=self._images)

    def expression(self, nonce: str, left_s: float, *, stayed: bool = False) -> str:
        """Return the expression that waits for the page, at most `left_s`, and reads it.

        `stayed` says that an announced navigation did not happen.
        """
        params = self._params
        state = {"framed": False, "stayed": stayed, "inert": False, "onDemand": False}
        return settling(
            PageWait(nonce, params.wait, params.selector, params.quiet_ms, left_s), state, self._caps
        )

    def checked(self, said: Any) -> dict[str, Any]:
        """Return the checked value of the expression; raises RenderError if it does not have the expected form."""
        return checked(said)

    def page(
        self,
        seen: Mapping[str, Any],
        status: int,
        headers: Mapping[str, str],
        redirects: Sequence[tuple[str, int]],
        timings_ms: Mapping[str, int],
    ) -> RenderedPage:
        """Return the page that was read; `redirects` are the addresses before its own, with their statuses."""
        urls, statuses = tuple(url for url, _ in redirects), tuple(status for _, status in redirects)
        return page_of(seen, DocumentHead(status, headers, urls, statuses), timings_ms)

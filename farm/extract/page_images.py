"""The images and media of a parsed page, by the rules of the browser's collector (`browser/js/images.js`)."""

import re
from typing import Any

from ada_url import join_url
from selectolax.lexbor import LexborNode

from farm.model.page_caps import PageCaps

_SPACES = re.compile(r"\s+")
_SIDE_DIGITS = 6


class ListedImages:
    """Lists them within the caps; addresses that are longer than theirs are left out, and make it `is_short`."""

    def __init__(self, base: str, caps: PageCaps) -> None:
        self.images: list[list[Any]] = []
        self.media: list[list[Any]] = []
        self.is_short = False
        self._base = base
        self._caps = caps
        self._left = caps.images_cap
        self._of_pictures: dict[int, str] = {}
        """The address that the sources of a `picture` give, by its node."""

    @property
    def is_full(self) -> bool:
        """Whether no more are taken."""
        return len(self.images) + len(self.media) >= self._caps.image_cap or self._left <= 0

    def image(self, node: LexborNode) -> None:
        """Take an `img`."""
        attributes = node.attributes
        alt = _SPACES.sub(" ", attributes.get("alt") or "").strip()[: self._caps.link_text_cap]
        sides = [_side(attributes.get(name) or "") for name in ("width", "height")]
        self._add(self.images, self._chosen(node), alt, *sides)

    def medium(self, node: LexborNode) -> None:
        """Take a `video` or an `audio`."""
        kind = node.tag or ""
        self._add(self.media, self._address(node, "src"), kind)
        for source in node.css("source[src]"):
            self._add(self.media, self._address(source, "src"), kind)
        for track in node.css("track[src]"):
            self._add(self.media, self._address(track, "src"), "track")
        if kind == "video":
            self._add(self.media, self._address(node, "poster"), "poster")

    def _add(self, into: list[list[Any]], address: str, *more: Any) -> None:
        if self.is_full or not address.startswith(("http:", "https:")):
            return
        if len(address) > self._caps.url_cap:
            self.is_short = True
            return
        self._left -= len(address) + len(str(more[0]))
        into.append([address, *more])

    def _address(self, node: LexborNode, name: str) -> str:
        value = node.attributes.get(name)
        return self._resolved(value) if value else ""

    def _resolved(self, value: str) -> str:
        try:
            return join_url(self._base, value)
        except ValueError:
            return ""

    def _first(self, node: LexborNode) -> str:
        sources = (node.attributes.get("srcset") or "").lstrip(" \t\n\r\f,").split(None, 1)
        return self._resolved(sources[0].rstrip(",")) if sources else ""

    def _chosen(self, node: LexborNode) -> str:
        own = (self._address(node, "src"), self._first(node))
        found = next((one for one in own if one.startswith(("http:", "https:"))), "")
        around = node.parent
        if found or around is None or around.tag != "picture":
            return found
        if around.mem_id not in self._of_pictures:
            # Once for all images in it, of which there may be thousands.
            others = map(self._first, around.css("source[srcset]"))
            usable = (one for one in others if one.startswith(("http:", "https:")))
            self._of_pictures[around.mem_id] = next(usable, "")
        return self._of_pictures[around.mem_id]


def _side(said: str) -> int | None:
    """Return a number of pixels that an attribute says; None if it says something else."""
    digits = said.strip().removesuffix("px").rstrip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _SIDE_DIGITS else None

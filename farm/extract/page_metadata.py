"""What a parsed page says of itself to programs, by the rules and within the bounds of the browser's collector.

JSON-LD as text, Open Graph, Twitter cards, and microdata by the HTML standard's algorithm.
"""

import re
from dataclasses import dataclass
from typing import Any

from ada_url import join_url
from selectolax.lexbor import LexborHTMLParser, LexborNode

_MOST_STEPS = 200_000
_MOST_NESTED = 32
_MOST_REFERRED = 1_000
_MOST_SCRIPTS = 100
_TEXT_STEP = 1_024
"""Characters of text that count as a step: elements in each other have the same text again and again."""
_ITEM_COST = 40
_NAME_COST = 10
_NAME_CAP = 300
_VALUES = {
    "meta": "content",
    "data": "value",
    "meter": "value",
    "time": "datetime",
    "object": "data",
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
}
_ADDRESSES = frozenset({"href", "src", "data"})
_CARD = re.compile(r"\s*(og|twitter):", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Around:
    """What a walk upwards asks of an element."""

    is_item: bool
    has_id: bool
    parent: LexborNode | None


class PageMetadata:
    """Reads it within `cap` characters, `value_cap` of one value at most; `is_short` says that there is more."""

    def __init__(self, parser: LexborHTMLParser, base: str, cap: int, value_cap: int) -> None:
        self.is_short = False
        self._parser = parser
        self._base = base
        self._left = cap
        self._steps = _MOST_STEPS
        self._value_cap = value_cap
        self._own: dict[int | None, list[LexborNode]] = {}
        self._places: dict[int, tuple[int | None, int]] = {}
        """Of each property the item that owns it, and its place in the document."""
        self._around: dict[int, _Around] = {}
        self._within: dict[int, list[LexborNode]] = {}
        """The properties that stand in an element with an id, and in no item between."""
        self._ids: dict[str, LexborNode] | None = None
        self._referred: dict[str, list[LexborNode]] = {}
        self._refers = False

    def said(self, *, has_items: bool) -> dict[str, Any] | None:
        """Return `{ld, graph, twitter, items}`; None if the page says nothing.

        `has_items` says whether there may be microdata.
        """
        graph, twitter = self._cards()
        ld = self._scripts()
        items = self._items() if has_items else []
        found = {"ld": ld, "graph": graph, "twitter": twitter, "items": items}
        return found if any(found.values()) else None

    def _enough(self, is_enough: bool) -> bool:
        self.is_short = self.is_short or not is_enough
        return is_enough

    def _pay(self, chars: int) -> bool:
        if not self._enough(chars <= self._left):
            return False
        self._left -= chars
        return True

    def _step(self) -> bool:
        self._steps -= 1
        return self._enough(self._steps >= 0)

    def _cut(self, text: str) -> str:
        return text if self._enough(len(text) <= self._value_cap) else text[: self._value_cap]

    def _address(self, node: LexborNode, name: str) -> str:
        href = node.attributes.get(name)
        if href is None:
            return ""
        try:
            return join_url(self._base, href)
        except ValueError:
            return ""

    def _cards(self) -> tuple[dict[str, Any], dict[str, Any]]:
        graph: dict[str, Any] = {}
        twitter: dict[str, Any] = {}
        for meta in self._parser.css("meta"):
            attributes = meta.attributes
            content = attributes.get("content")
            if content is None or not self._step():
                continue
            name, given = attributes.get("name") or "", attributes.get("property") or ""
            keys = f"{given} {name}" if _CARD.match(name) else given
            for key in dict.fromkeys(keys.lower().split()):
                if ":" not in key or not self._enough(len(key) <= _NAME_CAP):
                    continue
                value = self._cut(content.strip())
                if not self._pay(_NAME_COST + len(key) + len(value)):
                    break
                _add(twitter if key.startswith("twitter:") else graph, key, value)
        return graph, twitter

    def _scripts(self) -> list[str]:
        found: list[str] = []
        for script in self._parser.css('script[type^="application/ld+json" i]'):
            text = script.text()
            if self._enough(len(found) < _MOST_SCRIPTS) and self._pay(len(text)):
                found.append(text)
        return found

    def _items(self) -> list[Any]:
        items = self._parser.css("[itemscope]")
        self._refers = bool(items) and self._parser.css_first("[itemref]") is not None
        for node in self._parser.css("[itemprop]") if items else ():
            if not self._step():
                break
            owner = self._owner_of(node)
            self._places[node.mem_id] = owner, len(self._places)
            self._own.setdefault(owner, []).append(node)
        found = []
        for item in items:
            if not self._step() or not self._enough(self._left >= _ITEM_COST):
                break
            told = None if "itemprop" in item.attributes else self._told(item, ())
            if told is not None:
                found.append(told)
        return found

    def _owner_of(self, node: LexborNode) -> int | None:
        """Return the item that a property is of; note it with the elements on the way that have an id."""
        at = node.parent
        while at is not None and self._step():
            around = self._around.get(at.mem_id)
            if around is None:
                # Once for each element: it may have thousands of attributes.
                names = at.attributes if at.is_element_node else {}
                around = self._around[at.mem_id] = _Around("itemscope" in names, "id" in names, at.parent)
            if around.is_item:
                return at.mem_id
            if around.has_id and self._refers:
                self._within.setdefault(at.mem_id, []).append(node)
            at = around.parent
        return None

    def _at_id(self, id_: str) -> list[LexborNode]:
        """Return the properties of an element that an item refers to."""
        if id_ not in self._referred:
            found: list[LexborNode] = []
            other = self._by_id(id_) if self._enough(len(self._referred) < _MOST_REFERRED) else None
            if other is not None:
                found += [other] if other.mem_id in self._places else []
                found += [one for one in self._within.get(other.mem_id, ()) if self._step()]
            self._referred[id_] = found
        return self._referred[id_]

    def _by_id(self, id_: str) -> LexborNode | None:
        if self._ids is None:
            self._ids = {}
            for one in self._parser.css("[id]"):
                self._ids.setdefault(one.attributes["id"] or "", one)
        return self._ids.get(id_)

    def _properties_of(self, item: LexborNode) -> list[LexborNode]:
        own = self._own.get(item.mem_id, [])
        if "itemref" not in item.attributes:
            return own
        found = {one.mem_id: one for one in own}
        for id_ in dict.fromkeys((item.attributes["itemref"] or "").split()):
            for one in self._at_id(id_):
                if self._step():
                    found[one.mem_id] = one
        return sorted(found.values(), key=lambda one: self._places[one.mem_id][1])

    def _value_of(self, node: LexborNode, above: tuple[int, ...]) -> Any:
        attributes = node.attributes
        if "itemscope" in attributes:
            return "ERROR" if node.mem_id in above else self._told(node, above)
        given = _VALUES.get(node.tag or "")
        if given in _ADDRESSES:
            return self._cut(self._address(node, given or ""))
        # The standard reads `content` of `meta` alone; search engines, and who writes for them, of every element.
        value = attributes.get(given or "content")
        if value is None:
            value = "" if given and given != "datetime" else self._text_of(node)
        return self._cut(value.strip())

    def _text_of(self, node: LexborNode) -> str:
        if not self._enough(self._steps > 0):
            return ""
        text = node.text()
        self._steps -= len(text) // _TEXT_STEP
        return _SPACES.sub(" ", text)

    def _told(self, node: LexborNode, above: tuple[int, ...]) -> dict[str, Any] | None:
        if not self._enough(len(above) < _MOST_NESTED) or not self._pay(_ITEM_COST):
            return None
        item: dict[str, Any] = {}
        types = [name[:_NAME_CAP] for name in dict.fromkeys((node.attributes.get("itemtype") or "").split())]
        id_ = self._cut(self._address(node, "itemid")) if types and "itemid" in node.attributes else ""
        if types and self._pay(len(",".join(types))):
            item["type"] = types
        if id_ and self._pay(len(id_)):
            item["id"] = id_
        properties: dict[str, list[Any]] = {}
        item["properties"] = properties
        for one in self._properties_of(node):
            if not self._step() or not self._enough(self._left >= _NAME_COST):
                break
            before = self._left
            value = self._value_of(one, (*above, node.mem_id))
            if value is None:
                continue
            # What it takes is paid for each of its names; an item has been paid for once.
            paid = before - self._left
            size = len(value) if isinstance(value, str) else paid
            for name in dict.fromkeys((one.attributes.get("itemprop") or "").split()):
                if not self._enough(len(name) <= _NAME_CAP) or not self._pay(
                    _NAME_COST + len(name) + size - paid
                ):
                    break
                paid = 0
                properties.setdefault(name, []).append(value)
        return item


def _add(into: dict[str, Any], key: str, value: str) -> None:
    known = into.get(key)
    if known is None:
        into[key] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        into[key] = [known, value]

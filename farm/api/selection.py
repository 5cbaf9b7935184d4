"""Selections of handlers in a page, with the parsers of declarations of items."""

from functools import lru_cache

from farm.extract.documents import CompiledXPath, Document, Element, check_css, compiled_xpath


class Selected:
    """A match of a selector: an element, or a text of an XPath expression."""

    __slots__ = ("_found",)

    def __init__(self, found: Element | str) -> None:
        self._found = found

    @property
    def text(self) -> str:
        """The text with single spaces, also between blocks."""
        return " ".join(self._found.split()) if isinstance(self._found, str) else self._found.text()

    @property
    def html(self) -> str:
        """The HTML, with the element's own tags; of a text, the text."""
        return self._found if isinstance(self._found, str) else self._found.html()

    def attr(self, name: str) -> str | None:
        """Return an attribute as it stands there; None if there is none."""
        return None if isinstance(self._found, str) else self._found.attribute(name)

    @property
    def address(self) -> str | None:
        """The element's address, unchanged: its `href`, `src`, `action` or `content`."""
        return self.attr("")

    def css(self, selector: str) -> "list[Selected]":
        """Return the matches of a CSS selector in the element, in order. Raises ValueError for an invalid one."""
        return [] if isinstance(self._found, str) else select(self._found, selector)

    def xpath(self, path: str) -> "list[Selected]":
        """Return the results of an XPath expression from the element. Raises ValueError for an invalid one."""
        return [] if isinstance(self._found, str) else find(self._found, path)

    def __repr__(self) -> str:
        """Return the beginning of its HTML."""
        return f"<Selected {self.html[:60]!r}>"


def select(within: Document | Element, selector: str) -> list[Selected]:
    """Return the matches of a CSS selector. Raises ValueError if it is invalid, `Unreadable` if it is too slow."""
    _check(selector)
    return [Selected(one) for one in within.css(selector)]


def find(within: Document | Element, path: str) -> list[Selected]:
    """Return the results of an XPath expression. Raises ValueError if invalid, `Unreadable` like `select`."""
    return [Selected(one) for one in within.xpath(_compiled(path))]


_check = lru_cache(1000)(check_css)


@lru_cache(1000)
def _compiled(path: str) -> CompiledXPath:
    return compiled_xpath(path)

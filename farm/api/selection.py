"""What handlers select in a page, by the parsers that declarations of items use."""

from functools import lru_cache

from farm.extract.documents import CompiledXPath, Document, Element, check_css, compiled_xpath


class Selected:
    """What a selector matches: an element, or a text that an XPath names."""

    __slots__ = ("_found",)

    def __init__(self, found: Element | str) -> None:
        self._found = found

    @property
    def text(self) -> str:
        """The text with single spaces; blocks are apart."""
        return " ".join(self._found.split()) if isinstance(self._found, str) else self._found.text()

    @property
    def html(self) -> str:
        """The HTML, with the element's own tags; of a text, the text."""
        return self._found if isinstance(self._found, str) else self._found.html()

    def attr(self, name: str) -> str | None:
        """Return an attribute as it stands there; None where there is none."""
        return None if isinstance(self._found, str) else self._found.attribute(name)

    @property
    def address(self) -> str | None:
        """What the element leads to, as it stands there: its `href`, `src`, `action` or `content`."""
        return self.attr("")

    def css(self, selector: str) -> "list[Selected]":
        """Return what a CSS selector matches in the element, in order. Raises ValueError for one that is none."""
        return [] if isinstance(self._found, str) else select(self._found, selector)

    def xpath(self, path: str) -> "list[Selected]":
        """Return what an XPath expression finds from the element. Raises ValueError for one that is none."""
        return [] if isinstance(self._found, str) else find(self._found, path)

    def __repr__(self) -> str:
        """Return the beginning of its HTML."""
        return f"<Selected {self.html[:60]!r}>"


def select(within: Document | Element, selector: str) -> list[Selected]:
    """Return what a CSS selector matches. Raises ValueError for one that is none, `Unreadable` for too much."""
    _check(selector)
    return [Selected(one) for one in within.css(selector)]


def find(within: Document | Element, path: str) -> list[Selected]:
    """Return what an XPath expression finds. Raises ValueError for one that is none, `Unreadable` as `select`."""
    return [Selected(one) for one in within.xpath(_compiled(path))]


_check = lru_cache(1000)(check_css)


@lru_cache(1000)
def _compiled(path: str) -> CompiledXPath:
    return compiled_xpath(path)

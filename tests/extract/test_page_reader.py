"""What is read of a document without a browser: in a time that grows with its length, whatever it refers to."""

from collections import Counter
from typing import Any, cast

from selectolax.lexbor import LexborHTMLParser, LexborNode

from farm.extract.page_images import ListedImages
from farm.extract.page_metadata import PageMetadata
from farm.model.page_caps import PageCaps

URL = "http://a.example/"
CAPS = PageCaps()


class Counting:
    """A parsed page that counts how often it is searched for what."""

    def __init__(self, html: str) -> None:
        self._parser = LexborHTMLParser(html)
        self.asked = Counter[str]()

    def css(self, selector: str) -> list[LexborNode]:
        """Return what matches."""
        self.asked[selector] += 1
        return self._parser.css(selector)

    def css_first(self, selector: str) -> LexborNode | None:
        """Return the first that matches."""
        self.asked[selector] += 1
        return self._parser.css_first(selector)


def metadata(parser: Counting) -> tuple[PageMetadata, list[Any]]:
    """Return the reader, and the items that the page has."""
    reader = PageMetadata(cast("LexborHTMLParser", parser), URL, CAPS.metadata_cap, CAPS.metadata_value_cap)
    said = reader.said(has_items=True)
    assert said is not None
    return reader, said["items"]


def test_what_items_refer_to_is_looked_up_in_one_go() -> None:
    """A thousand references to a page of thousands of elements are no million looks."""
    names = [f"r{number}" for number in range(900)]
    page = Counting(
        f"<p itemscope itemref='{' '.join(names)} none'></p>"
        + "".join(f"<b id={name} itemprop={name}>{name}</b>" for name in names)
    )
    reader, (item,) = metadata(page)
    assert item["properties"] == {name: [name] for name in names}
    assert page.asked["[id]"] == 1
    assert not reader.is_short


def test_what_an_item_refers_to_has_the_properties_within_and_not_those_of_items_there() -> None:
    """In their order, once each; an element that is an item itself gives itself alone."""
    page = Counting(
        "<p itemscope itemref='a c d'></p><div id=a><i itemprop=x>1</i><div id=b><i itemprop=x>2</i>"
        "<div itemscope itemprop=y><i itemprop=z>3</i></div></div></div>"
        "<div id=c itemscope itemprop=w><i itemprop=v>4</i></div><div id=d itemprop=u>5<i itemprop=t>6</i></div>"
    )
    _, (item,) = metadata(page)
    assert item["properties"] == {
        "x": ["1", "2"],
        "y": [{"properties": {"z": ["3"]}}],
        "w": [{"properties": {"v": ["4"]}}],
        "u": ["56"],
        "t": ["6"],
    }


def test_a_text_that_many_elements_have_is_not_read_for_each_of_them() -> None:
    """Elements in each other have the same half of a megabyte, of which nothing is left that would be paid for."""
    depth = 500
    page = Counting(f"<div itemscope>{'<i itemprop=a>' * depth}{' ' * 500_000}{'</i>' * depth}</div>")
    reader, items = metadata(page)
    assert reader.is_short
    assert len(items[0]["properties"]["a"]) < depth


def test_the_sources_of_a_picture_are_looked_through_once() -> None:
    """Not again for each image in it."""
    parser = LexborHTMLParser(
        "<picture><source srcset='data:,'><source srcset='/one.png 1x'>" + "<img alt=x>" * 3 + "</picture>"
    )
    listed = ListedImages(URL, CAPS)
    for node in parser.css("img"):
        listed.image(node)
    assert listed.images == [[f"{URL}one.png", "x", None, None]] * 3
    assert len(listed._of_pictures) == 1

"""A fixture's page as a browser would show it, near enough for the rules: no script has run."""

import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from farm.model.page import Link, RenderedPage
from fixtures.blocks import BlockPage

_UNSEEN = {"script", "style", "noscript", "title", "iframe"}
SITE = "https://shop.example"
FOLDER = Path(__file__).parent / "pages"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.text: list[str] = []
        self.links: list[Link] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element whose text is not seen; take a link's address."""
        if tag in _UNSEEN:
            self._inside.append(tag)
        if tag == "a":
            self.links.append(Link(SITE + (dict(attrs).get("href") or "")))

    def handle_endtag(self, tag: str) -> None:
        """Close it."""
        if tag in self._inside:
            self._inside.remove(tag)

    def handle_data(self, data: str) -> None:
        """Take text that is seen, and the title."""
        if "title" in self._inside:
            self.title += data
        elif not self._inside:
            self.text.append(data)


@cache
def written_pages(name: str) -> tuple[BlockPage, ...]:
    """Return the pages of a file of the folder `pages`, each at a path of its own."""
    pages = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))["page"]
    return tuple(BlockPage(**page, final_path=f"/{name}/{number}") for number, page in enumerate(pages))


def rendered(page: BlockPage) -> RenderedPage:
    """Return the page as a visit brings it back."""
    content_type = page.headers.get("content-type", "text/html; charset=utf-8")
    reader = _Reader()
    if "html" in content_type:
        reader.feed(page.html)
    else:
        reader.text.append(page.html)
    return RenderedPage(
        final_url=SITE + (page.final_path or f"/{page.name}"),
        status=page.status,
        headers=page.headers,
        content_type=content_type,
        title=reader.title,
        text=" ".join(reader.text),
        html=page.html,
        links=tuple(reader.links),
        redirects=(f"{SITE}/{page.name}",) if page.redirected else (),
    )

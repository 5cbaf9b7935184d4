"""The bounds of what is read of a page: one declaration for every renderer, so that all of them read the same."""

from dataclasses import dataclass

URL_CHARS = 8_000


def usable_base(href: str) -> str:
    """Return the `href` of a `base` as far as it is used: what a longer one makes is too long to be visited.

    Else each of ten thousand short addresses of a page would become one of megabytes.
    """
    return href if len(href) <= URL_CHARS else f"{href[:URL_CHARS]}/"


@dataclass(frozen=True, slots=True)
class PageCaps:
    """Bounds in characters; `link_cap` and `image_cap` are numbers. What one cuts is named in `truncated`."""

    html_cap: int = 8_000_000
    html_of_text: int | None = None
    """The HTML is read of pages with at most so many characters of text alone; None: of all."""
    text_cap: int = 2_000_000
    link_cap: int = 10_000
    links_cap: int = 2_000_000
    """All links together."""
    link_text_cap: int = 300
    """Of the label of a link, and of the alternative text of an image."""
    url_cap: int = URL_CHARS
    """Longer addresses are not visited, and so need not be brought home."""
    title_cap: int = 10_000
    word_cap: int = 1_000
    """Of what is a word or a few: `rel`, `lang`, meta robots."""
    metadata_cap: int = 500_000
    """Of JSON-LD, Open Graph, Twitter cards and microdata together."""
    metadata_value_cap: int = 20_000
    list_images: bool = False
    """Whether images and media are listed."""
    image_cap: int = 5_000
    """Images and media."""
    images_cap: int = 500_000
    """All of them together."""

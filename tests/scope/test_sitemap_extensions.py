"""What extensions of the protocol add to an entry is no page (the situations of crawler-commons' tests)."""

from collections.abc import Sequence

import pytest

from farm.scope.sitemaps import Entry
from tests.scope.test_sitemaps_crawler_commons import LIST, found, page

PAGE_MAP = "http://www.google.com/schemas/sitemap-pagemap/1.0"
VIDEO = (
    "<video:video><video:thumbnail_loc>http://www.example.com/123.jpg</video:thumbnail_loc>"
    "<video:content_loc>http://www.example.com/123.flv</video:content_loc><video:player_loc allow_embed='yes'>\n"
    "http://www.example.com/player.swf?video=123</video:player_loc><video:price currency='EUR'>1,99</video:price>"
    "<video:gallery_loc title='x'>http://cooking.example.com</video:gallery_loc>"
    "<video:publication_date>2007-11-05T19:20:30+08:00</video:publication_date><video:tag>a</video:tag>"
    "<video:uploader info='http://www.example.com/users/g'>G\n</video:uploader></video:video>"
)
NEWS = (
    "<news:news><news:publication><news:name>{}</news:name><news:language>en</news:language></news:publication>"
    "<news:publication_date>2008-12-23</news:publication_date><news:title>A, B</news:title></news:news>"
)
ARTICLE = (
    "<url><loc>http://www.example.com/news/{n}</loc><mobile:mobile/><changefreq>daily</changefreq>"
    "<lastmod>2015-05-03T18:51:50+01:00</lastmod><image:image><image:loc>http://www.example.com/{n}!/a.jpg"
    "</image:loc><image:caption>P &lt;p&gt; $ID</image:caption></image:image></url>\n"
)

EXTENDED: dict[str, tuple[str, Sequence[Entry]]] = {
    "videos": (
        LIST.format(f"<url><loc>http://www.example.com/videos/a.html</loc>{VIDEO}</url>"),
        [page("http://www.example.com/videos/a.html")],
    ),
    "a show before its address": (
        LIST.format(
            f"<url>{VIDEO.replace('</video:video>', '')}<video:tvshow><video:show_title>x</video:show_title>"
            "</video:tvshow></video:video><loc>https://example.org/my-tv-show/23/13/</loc></url>"
        ),
        [page("https://example.org/my-tv-show/23/13/")],
    ),
    "pictures": (
        LIST.format(
            "<url><loc>http://www.example.com/images/a.html</loc><image:image><image:loc>http://example.com/i.jpg"
            "</image:loc></image:image><image:image><image:loc>http://example.com/p.jpg</image:loc>"
            "<image:license>https://creativecommons.org/licenses/by/4.0/</image:license></image:image></url>"
        ),
        [page("http://www.example.com/images/a.html")],
    ),
    # The other languages are listed as pages of their own, as here; the links between them are no list.
    "languages": (
        LIST.format(
            "".join(
                f"<url><loc>http://www.example.com/{own}/</loc>"
                + "".join(
                    f'<xhtml:link rel="alternate" hreflang="{one}" href="http://www.example.com/{one}/" />'
                    for one in ("de", "de-ch", "en")
                )
                + "</url>"
                for own in ("en", "de", "de-ch")
            )
        ),
        [page(f"http://www.example.com/{own}/") for own in ("en", "de", "de-ch")],
    ),
    "news": (
        LIST.format(
            f"<url><loc>http://www.example.org/business/article55.html</loc>{NEWS.format('Times')}</url>"
            f"<url><!-- no name --><loc>http://www.example.org/empty.html</loc>{NEWS.format('')}</url>"
        ),
        [page("http://www.example.org/business/article55.html"), page("http://www.example.org/empty.html")],
    ),
    "pages for telephones": (
        LIST.format(
            "<url><loc>http://www.example.com/mobile-1/</loc><mobile:mobile/></url><url><loc>http://www.example.com"
            "/mobile-2/</loc><mobile:mobile></mobile:mobile></url><url><loc>http://www.example.com/no/</loc></url>"
        ),
        [page(f"http://www.example.com/{name}/") for name in ("mobile-1", "mobile-2", "no")],
    ),
    "articles with everything": (
        LIST.format("".join(ARTICLE.format(n=n) for n in range(74))),
        [page(f"http://www.example.com/news/{n}", 2015, 5, 3, 17, 51, 50) for n in range(74)],
    ),
    "page maps": (
        LIST.format(
            f'<url><loc>http://www.example.com/foo</loc><PageMap xmlns="{PAGE_MAP}">'
            '<DataObject type="image">'
            '<Attribute name="image_src">http://www.example.com/foo.gif</Attribute></DataObject></PageMap></url>'
        ),
        [page("http://www.example.com/foo")],
    ),
}


@pytest.mark.parametrize(("content", "entries"), EXTENDED.values(), ids=EXTENDED)
async def test_only_the_page_is_found(
    content: str, entries: Sequence[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    """With the entry's own date."""
    assert await found(content) == list(entries)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []

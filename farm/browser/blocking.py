"""The URL patterns of the kinds of resources that `--block` keeps a page from loading.

The browser matches the patterns (CDP's `Network.setBlockedURLs`); `page.route` would send every request to Node
and Python and back, which costs more than the page. Images need no pattern: Blink does not load them (see
`flags`), which costs nothing per image.
"""

from collections.abc import Iterable

OF_IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp")
EXTENSIONS = {
    "media": ("mp4", "webm", "mp3", "m4a", "ogg", "ogv", "wav", "flac", "aac", "mov", "m3u8", "mpd", "ts"),
    "fonts": ("woff", "woff2", "ttf", "otf", "eot"),
    "stylesheets": ("css",),
}
TRACKERS = (
    "google-analytics.com",
    "googletagmanager.com",
    "googlesyndication.com",
    "doubleclick.net",
    "connect.facebook.net",
    "hotjar.com",
    "segment.io",
    "mixpanel.com",
    "newrelic.com",
    "nr-data.net",
    "scorecardresearch.com",
    "quantserve.com",
    "clarity.ms",
    "bat.bing.com",
)
IMAGES = "images"
KINDS = (IMAGES, *EXTENSIONS, "trackers")


def blocked_urls(kinds: Iterable[str], *, images: bool = False) -> tuple[str, ...]:
    """Return the patterns for the kinds (see KINDS), with `*` as the wildcard; raises KeyError for another.

    `images` says whether the browser loads images, so that those that are blocked need patterns too.

    Only subresources are blocked: the browser exempts the main request, so a navigation to a video's URL passes.
    """
    patterns: list[str] = []
    for kind in kinds:
        if kind == "trackers":
            patterns += [f"*://*{host}/*" for host in TRACKERS]
        elif kind == IMAGES:
            patterns += by_extension(OF_IMAGES) if images else ()
        else:
            patterns += by_extension(EXTENSIONS[kind])
    return tuple(patterns)


def by_extension(extensions: Iterable[str]) -> list[str]:
    """Return the patterns of URLs whose path has one of these extensions, in lower or upper case."""
    written = [case for extension in extensions for case in (extension, extension.upper())]
    return [f"*.{case}{query}" for case in written for query in ("", "?*")]

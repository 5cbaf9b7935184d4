"""Which requests of a page are not made at all: kinds of resources, by URL pattern.

Images the engine itself leaves out (see `flags`), which costs nothing per image; they have patterns for whoever
has no engine of his own. The patterns go to CDP's `Network.setBlockedURLs`, where the browser itself matches
them; `page.route` would carry every request to Node and Python and back, and costs more than the page.
"""

from collections.abc import Iterable

EXTENSIONS = {
    "images": ("png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp", "tif", "tiff"),
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
KINDS = (*EXTENSIONS, "trackers")
IMAGES = "images"


def blocked_urls(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns for the kinds (see KINDS), with `*` as the wildcard; raises KeyError for another.

    A page itself is never blocked, only what it loads: patterns match the path's end, and a navigation to an
    image by its own URL is let through by the browser's rule that the main request is exempt.
    """
    patterns: list[str] = []
    for kind in kinds:
        if kind == "trackers":
            patterns += [f"*://*{host}/*" for host in TRACKERS]
            continue
        for extension in EXTENSIONS[kind]:
            # Patterns are case-sensitive, and cameras write upper case.
            for written in (extension, extension.upper()):
                patterns += [f"*.{written}", f"*.{written}?*"]
    return tuple(patterns)

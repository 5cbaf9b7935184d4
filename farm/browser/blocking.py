"""Which requests of a page are not made at all: kinds of resources, by URL pattern.

The patterns go to CDP's `Network.setBlockedURLs`, where the browser itself matches them; `page.route` would carry
every request to Node and Python and back, and costs more than the page. Images have none: the engine itself leaves
them out (see `flags`), which costs nothing per image.
"""

from collections.abc import Iterable

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


def blocked_urls(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns for the kinds (see KINDS), with `*` as the wildcard; raises KeyError for another.

    A page itself is never blocked, only what it loads: patterns match the path's end, and a navigation to a film
    by its own URL is let through by the browser's rule that the main request is exempt.
    """
    patterns: list[str] = []
    for kind in kinds:
        if kind == "trackers":
            patterns += [f"*://*{host}/*" for host in TRACKERS]
        elif kind != IMAGES:
            patterns += by_extension(EXTENSIONS[kind])
    return tuple(patterns)


def by_extension(extensions: Iterable[str]) -> list[str]:
    """Return the patterns of URLs whose path ends so, in lower and upper case, as cameras write it."""
    written = [case for extension in extensions for case in (extension, extension.upper())]
    return [f"*.{case}{query}" for case in written for query in ("", "?*")]

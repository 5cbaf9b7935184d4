"""The keywords of `Farm`: all options of `farm run`. Written by `scripts/python_options.py`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypedDict


class Options(TypedDict, total=False):
    """What `farm run` takes, in the same forms; None stands for the default, which is in brackets."""

    crawl: str | None
    """name of the crawl [default]."""
    output: str | PathLike[str] | None
    """output folder [crawls/NAME with --crawl, else crawls/HOST or crawls/HOST_PORT of the first URL]."""
    redis: str | None
    """redis://, rediss://, unix://, redis+cluster://h1,h2 or redis+sentinel://h1,h2/SERVICE [a
    private Redis of its own].
    """
    redis_patience: str | None
    """how long to wait for Redis [5m; before the first connection, and in commands other than run, 5s]."""
    redis_ca_file: str | PathLike[str] | None
    """trust the certificate authorities in this PEM file for rediss:// [the system's]."""
    seeds: str | None
    """more seeds: a file with one URL a line, - is stdin."""
    sitemap: str | None
    """auto (from robots.txt), the URL of one, or off [off]."""
    sitemap_since: str | datetime | None
    """only pages that changed since this date, as the sitemaps say."""
    scope: Literal["page", "prefix", "host", "domain", "any"] | None
    """how far to follow links [host]."""
    include: Sequence[str] | None
    """visit only URLs that contain this pattern (repeatable)."""
    exclude: Sequence[str] | None
    """skip URLs that contain this pattern (repeatable)."""
    depth: int | None
    """how many links away from a seed [no limit]."""
    limit: int | None
    """how many pages to render, over all nodes and runs of the crawl [no limit]."""
    time_limit: str | None
    """how long to run [no limit]."""
    robots: Literal["obey", "ignore"] | None
    """whether to obey robots.txt and nofollow [obey]."""
    keep_params: Sequence[str] | None
    """tracking parameters to keep, separated by commas (repeatable), because they identify the page."""
    hash_routes: Literal["off", "on", "auto"] | bool | None
    """whether #/ and #! addresses are pages: auto, if a page's script routes by them; on (the flag
    alone), always, as they are written [off].
    """
    dedup: Literal["exact", "bloom"] | None
    """how known URLs are stored: exact sets, or a Bloom filter of a quarter the size [exact]."""
    fresh: bool | None
    """forget the crawl of this name, records included, and start anew."""
    contexts: int | Literal["auto"] | None
    """browser contexts that work at the same time [auto: two a core, more while there is CPU left]."""
    engines: int | Literal["auto"] | None
    """browser processes for the contexts [auto]."""
    memory: str | None
    """budget of all processes [75%]."""
    ramp_up: str | None
    """time in which all contexts are started [10s]."""
    recycle_pages: int | None
    """pages after which a context is replaced [100]."""
    isolation: Literal["site", "url"] | None
    """whether a context is for one site or for one URL [site]."""
    browser: str | PathLike[str] | None
    """browser to run [Playwright's, else the system's]."""
    sandbox: bool | None
    """Chromium's sandbox [on, except for root]."""
    render: Literal["auto", "browser", "light", "fetch"] | None
    """renderer of the pages: browser, light (an engine that paints nothing), fetch (plain HTTP,
    without scripts) or auto (the cheapest whose results equal the browser's) [browser].
    """
    wait: str | None
    """settle, load, domcontentloaded or css:SELECTOR [settle]."""
    page_timeout: str | None
    """deadline of a page [60s]."""
    settle_timeout: str | None
    """how long a page may take to settle [10s]."""
    block: Sequence[str] | None
    """kinds of resources not to load: images,media,fonts,stylesheets,trackers or none
    [images,media,fonts; nothing with --screenshot or --pdf].
    """
    max_page_size: str | None
    """bytes that a visit may receive, with everything that the page loads [no limit]."""
    viewport: tuple[int, int] | str | None
    """size of the window [1280x800]."""
    user_agent: str | None
    """user agent [the browser's own, with CrawlFarm added]."""
    click: Sequence[str] | None
    """click the first visible element that matches, once the page has settled (repeatable)."""
    click_times: int | None
    """how often each --click is repeated while it loads something new [1]."""
    scroll: int | None
    """scroll to the end until nothing new is loaded, N times at most [0]."""
    consent: Literal["accept", "reject", "off"] | None
    """answer cookie banners, once a context, before the page is read [off]."""
    screenshot: bool | None
    """save a PNG of each whole page."""
    pdf: bool | None
    """save a PDF of each page."""
    download: bool | None
    """keep the bytes of URLs that are not pages."""
    max_download: str | None
    """largest download that is kept [32MiB]."""
    capture: Sequence[str] | None
    """keep what scripts fetch: json, text, all, '/api/*' or 'json:/api/*' (repeatable)."""
    capture_max: str | None
    """largest body of an answer that is kept by --capture [1MiB]."""
    har: bool | None
    """save a HAR file of each page: what it loaded, without bodies."""
    storage_state: str | PathLike[str] | None
    """cookies and local storage, in Playwright's format; each goes to its own site."""
    login: str | PathLike[str] | None
    """log in to a site by the steps of this TOML file, once for all nodes."""
    logged_in: str | None
    """selector that only pages of a session match [that of --login]."""
    header: Sequence[str] | None
    """a request header, for the seeds' sites only (repeatable)."""
    locale: str | None
    """language of the browser, such as de-DE [the browser's own]."""
    timezone: str | None
    """time zone of the browser, such as Europe/Berlin [the machine's]."""
    ca_file: str | PathLike[str] | None
    """trust the certificate authorities in this PEM file."""
    insecure: bool | None
    """accept any certificate."""
    site: Mapping[str, Mapping[str, Any]] | None
    """rate, concurrency, render, wait, block and headers of one site."""
    proxies: str | PathLike[str] | None
    """upstream proxies: a file with one URL a line (http, https, socks4, socks5)."""
    proxy_rotation: Literal["context", "page", "site"] | None
    """when the proxy changes: context (a new context), page (every page), site (every site its own)
    [context].
    """
    proxy_rate: str | None
    """visits through one proxy, to all sites and over all nodes [no limit]."""
    proxy_cooldown: str | None
    """how long a failed proxy is not used; doubled with each failure in a row [60s]."""
    proxy_patience: str | None
    """how long to wait for a working proxy [5m]."""
    proxy_bytes: str | None
    """how many bytes, in both directions, may pass through the proxies, over all nodes and runs of
    the crawl; at the limit the run ends [no limit].
    """
    allow_network: Sequence[str] | None
    """private network that may be reached, CIDR[:port] (repeatable) [none]."""
    rate: str | None
    """visits to one site, over all nodes [learnt from its answers]."""
    site_concurrency: int | None
    """visits to one site at once, over all nodes [8 at first, then learnt from its answers]."""
    global_rate: str | None
    """visits in all, over all nodes [no limit]."""
    global_concurrency: int | None
    """visits at once, over all nodes [no limit]."""
    retries: int | None
    """how often a failed page is tried again [3]."""
    max_queued: int | None
    """URLs that may wait at once, over all nodes; beyond that links are left out, the least urgent
    first, and counted [10000000].
    """
    max_site_queued: int | None
    """the same for the URLs of one site and priority [1000000]."""
    lives: int | None
    """how many nodes may die while they visit only this URL before it is given up [3]."""
    sink: Sequence[str] | None
    """where records go: jsonl:[FILE[.gz|.zst]], csv:[FILE], sqlite:///FILE,
    postgresql://HOST/DATABASE, parquet:DIR, warc:DIR or stdout:; s3://BUCKET/PREFIX in place of
    FILE or DIR of jsonl:, parquet: and warc: (repeatable) [jsonl, which is pages.jsonl in the
    output folder].
    """
    sink_patience: str | None
    """how long to wait for an unavailable sink [5m]."""
    warc_all: bool | None
    """store everything that pages load in --sink warc:DIR, not only their documents."""
    html: bool | None
    """keep the pages' HTML [yes]."""
    bodies: bool | None
    """keep the HTML in compressed files instead of records: bodies/ in the output folder, the same
    HTML once.
    """
    text: bool | None
    """keep the pages' text [yes]."""
    markdown: bool | None
    """keep each page as Markdown too."""
    main_text: bool | None
    """keep the text of each page's main content too."""
    images: bool | None
    """list the pages' images, videos and sounds."""
    extract: str | PathLike[str] | None
    """extract items as this TOML file declares them."""
    snapshots: bool | None
    """keep a picture and the HTML of pages whose URLs are given up, the last 1,000: snapshots/ [no]."""
    max_disk: str | None
    """how large the output folder may become; at the limit the run ends [no limit]."""
    file_mode: int | str | None
    """mode of written files, such as 0640 to let the group read them [0600]."""
    webhook: str | None
    """POST events there, signed: a dead letter, a blocked site, the end of the crawl, a limit reached."""
    webhook_secret_file: str | PathLike[str] | None
    """the secret that signs the events."""
    otlp: str | None
    """send a trace of each visit there, by OpenTelemetry's OTLP over HTTP, such as
    http://127.0.0.1:4318.
    """
    keep_for: str | None
    """how long Redis keeps a finished crawl once its nodes have ended; `farm run`, `add` and `dead
    replay` cancel this [for ever].
    """
    node: str | None
    """name of this node [host name and a random part, kept in the output folder]."""
    processes: int | Literal["auto"] | None
    """processes of this node that share its contexts, its memory and its output; auto: one for eight
    cores [1].
    """
    drain_timeout: str | None
    """how long a run that receives a signal may take to end, mostly for the pages under way [25s]."""
    stay: bool | None
    """wait for `farm add` when nothing is left [no]."""
    live: Literal["auto", "on", "off"] | None
    """the live view [auto: when in a terminal]."""
    log_level: Literal["debug", "info", "warning", "error"] | None
    """lowest level that is logged [info]."""
    log_format: Literal["text", "json"] | None
    """format of the log [text]."""
    metrics_port: int | None
    """serve the view as a web page, /metrics for Prometheus, /healthz and /readyz on this port; 0 is
    any [off].
    """
    metrics_host: str | None
    """address on which the metrics are served [127.0.0.1]."""
    token_file: str | PathLike[str] | None
    """a file with what the web page asks for before it shows URLs and pictures, and can pause the
    crawl.
    """

"""The options of a page: the browser, rendering, options of single sites, and egress."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, field_validator

from farm.policy.proxies import Rotation
from farm.policy.renderers import RenderMode
from farm.settings.options import option
from farm.settings.sites import SiteTables
from farm.settings.units import (
    BlockedKinds,
    Captures,
    Duration,
    FileOrNone,
    Headers,
    Lines,
    Memory,
    RateLimit,
    Size,
    Viewport,
    WaitRule,
    Words,
    lines,
    none_or,
)


class BrowserSettings(BaseModel):
    """Which browser."""

    browser: Path | None = option(None, "browser to run [Playwright's, else the system's]", metavar="FILE")
    sandbox: bool = option(True, "Chromium's sandbox [on, except for root]")


class RenderSettings(BaseModel):
    """How a page is rendered."""

    render: RenderMode = option(
        RenderMode.BROWSER,
        "renderer of the pages: browser, light (an engine that paints nothing), fetch (plain HTTP, without "
        "scripts) or auto (the cheapest whose results equal the browser's) [browser]",
    )
    wait: WaitRule = option(
        "settle", "settle, load, domcontentloaded or css:SELECTOR [settle]", metavar="RULE"
    )
    page_timeout: Duration = option(60.0, "deadline of a page [60s]", metavar="TIME", gt=0)
    settle_timeout: Duration = option(10.0, "how long a page may take to settle [10s]", metavar="TIME", gt=0)
    block: BlockedKinds = option(
        ("images", "media", "fonts"),
        "kinds of resources not to load: images,media,fonts,stylesheets,trackers or none "
        "[images,media,fonts; nothing with --screenshot or --pdf]",
        metavar="KINDS",
    )
    max_page_size: Size | None = option(
        None, "bytes that a visit may receive, with everything that the page loads [no limit]", metavar="SIZE"
    )
    viewport: Viewport = option((1280, 800), "size of the window [1280x800]", metavar="WxH")
    user_agent: str | None = option(
        None, "user agent [the browser's own, with CrawlFarm added]", metavar="TEXT"
    )
    click: Lines = option(
        (),
        "click the first visible element that matches, once the page has settled (repeatable)",
        metavar="CSS",
    )
    click_times: int = option(
        1,
        "how often each --click is repeated while it loads something new [1]",
        metavar="N",
        needs="click",
        ge=1,
        le=1000,
    )
    scroll: int = option(
        0, "scroll to the end until nothing new is loaded, N times at most [0]", metavar="N", ge=0, le=1000
    )
    consent: Literal["accept", "reject", "off"] = option(
        "off", "answer cookie banners, once a context, before the page is read [off]"
    )
    screenshot: bool = option(False, "save a PNG of each whole page")
    pdf: bool = option(False, "save a PDF of each page")
    download: bool = option(False, "keep the bytes of URLs that are not pages")
    max_download: Size = option(
        Memory("32MiB", 32 * 2**20), "largest download that is kept [32MiB]", metavar="SIZE", needs="download"
    )
    capture: Captures = option(
        (), "keep what scripts fetch: json, text, all, '/api/*' or 'json:/api/*' (repeatable)", metavar="WHAT"
    )
    capture_max: Size | None = option(
        None, "largest body of an answer that is kept by --capture [1MiB]", metavar="SIZE", needs="capture"
    )
    har: bool = option(False, "save a HAR file of each page: what it loaded, without bodies")
    storage_state: FileOrNone = option(
        None, "cookies and local storage, in Playwright's format; each goes to its own site", metavar="FILE"
    )
    login: FileOrNone = option(
        None, "log in to a site by the steps of this TOML file, once for all nodes", metavar="FILE"
    )
    logged_in: str | None = option(
        None, "selector that only pages of a session match [that of --login]", metavar="CSS", needs="login"
    )
    header: Headers = option(
        (), "a request header, for the seeds' sites only (repeatable)", metavar="'NAME: VALUE'"
    )
    locale: str | None = option(
        None,
        "language of the browser, such as de-DE [the browser's own]",
        metavar="TAG",
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
    )
    timezone: str | None = option(
        None, "time zone of the browser, such as Europe/Berlin [the machine's]", metavar="ZONE"
    )
    ca_file: FileOrNone = option(None, "trust the certificate authorities in this PEM file", metavar="FILE")
    insecure: bool = option(False, "accept any certificate")

    @field_validator("header", "capture", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        return none_or(lines(value))


class SiteSettings(BaseModel):
    """The site tables of `farm.toml`."""

    site: SiteTables = option({}, "rate, concurrency, render, wait, block and headers of one site")


class EgressSettings(BaseModel):
    """Egress: proxies and private networks."""

    proxies: FileOrNone = option(
        None, "upstream proxies: a file with one URL a line (http, https, socks4, socks5)", metavar="FILE"
    )
    proxy_rotation: Rotation = option(
        Rotation.CONTEXT,
        f"when the proxy changes: {', '.join(f'{one} ({one.meaning})' for one in Rotation)} [context]",
        needs="proxies",
    )
    proxy_rate: RateLimit | None = option(
        None,
        "visits through one proxy, to all sites and over all nodes [no limit]",
        metavar="RATE",
        needs="proxies",
    )
    proxy_cooldown: Duration = option(
        60.0,
        "how long a failed proxy is not used; doubled with each failure in a row [60s]",
        metavar="TIME",
        needs="proxies",
        gt=0,
    )
    proxy_patience: Duration = option(
        300.0, "how long to wait for a working proxy [5m]", metavar="TIME", needs="proxies", ge=0
    )
    proxy_bytes: Annotated[Size | None, BeforeValidator(none_or)] = option(
        None,
        "how many bytes, in both directions, may pass through the proxies, over all nodes and runs of the crawl; "
        "at the limit the run ends [no limit]",
        metavar="SIZE",
        needs="proxies",
    )
    allow_network: Words = option(
        (), "private network that may be reached, CIDR[:port] (repeatable) [none]", metavar="CIDR"
    )

    @field_validator("allow_network", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return none_or(lines(value))

"""The options of a page: the browser, how it renders, what is known of single sites, and the way out."""

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
        "what brings the pages: browser, light (an engine that paints nothing), fetch (plain HTTP, no script is "
        "run) or auto (the cheapest that is shown to bring the same) [browser]",
    )
    wait: WaitRule = option(
        "settle", "settle, load, domcontentloaded or css:SELECTOR [settle]", metavar="RULE"
    )
    page_timeout: Duration = option(60.0, "deadline of a page [60s]", metavar="TIME", gt=0)
    settle_timeout: Duration = option(10.0, "how long a page may take to settle [10s]", metavar="TIME", gt=0)
    block: BlockedKinds = option(
        ("images", "media", "fonts"),
        "kinds that are not loaded: images,media,fonts,stylesheets,trackers or none "
        "[images,media,fonts; nothing with --screenshot or --pdf]",
        metavar="KINDS",
    )
    max_page_size: Size | None = option(
        None, "bytes that a page may bring, all that it loads included [no limit]", metavar="SIZE"
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
        "how often each --click is repeated while it brings something new [1]",
        metavar="N",
        needs="click",
        ge=1,
        le=1000,
    )
    scroll: int = option(
        0, "scroll to the end until nothing new comes, N times at most [0]", metavar="N", ge=0, le=1000
    )
    consent: Literal["accept", "reject", "off"] = option(
        "off", "answer cookie banners, once a context, before the page is read [off]"
    )
    screenshot: bool = option(False, "a PNG of each page, all of it")
    pdf: bool = option(False, "a PDF of each page")
    download: bool = option(False, "keep the bytes of what is no page")
    max_download: Size = option(
        Memory("32MiB", 32 * 2**20), "largest download that is kept [32MiB]", metavar="SIZE", needs="download"
    )
    capture: Captures = option(
        (), "keep what scripts fetch: json, text, all, '/api/*' or 'json:/api/*' (repeatable)", metavar="WHAT"
    )
    capture_max: Size | None = option(
        None, "largest body of an answer that is kept by --capture [1MiB]", metavar="SIZE", needs="capture"
    )
    har: bool = option(False, "a HAR file of each page: what it loaded, without bodies")
    storage_state: FileOrNone = option(
        None, "cookies and local storage, in Playwright's format; each goes to its own site", metavar="FILE"
    )
    login: FileOrNone = option(
        None, "log in to a site by the steps of this TOML file, once for all nodes", metavar="FILE"
    )
    logged_in: str | None = option(
        None, "what only pages of a session show [as the file of --login says]", metavar="CSS", needs="login"
    )
    header: Headers = option(
        (), "a request header, for the seeds' sites alone (repeatable)", metavar="'NAME: VALUE'"
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
    """What is known of single sites."""

    site: SiteTables = option({}, "rate, concurrency, render, wait, block and headers of one site")


class EgressSettings(BaseModel):
    """The way out: proxies and private networks."""

    proxies: FileOrNone = option(
        None, "proxies to go out by: a file with one URL a line (http, https, socks4, socks5)", metavar="FILE"
    )
    proxy_rotation: Rotation = option(
        Rotation.CONTEXT,
        f"what takes another proxy: {', '.join(f'{one} ({one.meaning})' for one in Rotation)} [context]",
        needs="proxies",
    )
    proxy_rate: RateLimit | None = option(
        None,
        "visits by one proxy, to all sites and over all nodes [no limit]",
        metavar="RATE",
        needs="proxies",
    )
    proxy_cooldown: Duration = option(
        60.0,
        "how long a proxy that failed is left alone; each time in a row twice as long [60s]",
        metavar="TIME",
        needs="proxies",
        gt=0,
    )
    proxy_patience: Duration = option(
        300.0, "how long it is waited for a proxy that works [5m]", metavar="TIME", needs="proxies", ge=0
    )
    proxy_bytes: Annotated[Size | None, BeforeValidator(none_or)] = option(
        None,
        "how many bytes, both ways, may go by the proxies, over all nodes and runs of the crawl; at the limit the "
        "run ends [no limit]",
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

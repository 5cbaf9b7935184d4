"""The options of a crawl, one model per subject; a command's settings combine the models that it needs.

`page_options` has the options of egress and rendering. A field's description is its line in `--help`.
`json_schema_extra` has the properties that argparse needs beyond the type, such as `metavar` and `positional`;
`needs` names the option without which an option has no effect.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from farm.model.secret import SecretUrl
from farm.model.url import HashRoutes
from farm.scope.rules import ScopeKind
from farm.settings.units import (
    CountOrAuto,
    Duration,
    FileMode,
    FileOrNone,
    HashRoutesOption,
    Lines,
    Memory,
    MemoryBudget,
    RateLimit,
    RedisUrl,
    Sink,
    Size,
    TextOrNone,
    UtcDate,
    WebhookUrl,
    Words,
    lines,
)
from farm.sinks.address import DEFAULT, FORMS

Sinks = Annotated[tuple[Sink, ...], NoDecode, BeforeValidator(lines)]
EMBEDDED = SecretUrl("embedded")


def option(default: Any, text: str, **extra: Any) -> Any:
    """Declare an option: its default, its help and the properties that argparse needs beyond the type."""
    bounds = {name: extra.pop(name) for name in ("ge", "gt", "le", "pattern") if name in extra}
    return Field(default=default, description=text, json_schema_extra=extra or None, **bounds)


class FolderSettings(BaseModel):
    """The output folder of a crawl."""

    crawl: str = option("", "name of the crawl [default]", metavar="NAME")
    output: Path | None = option(
        None,
        "output folder [crawls/NAME with --crawl, else crawls/HOST or crawls/HOST_PORT of the first URL]",
        metavar="DIR",
        short="o",
        first=True,
    )


class RedisSettings(BaseModel):
    """The Redis of crawls."""

    redis: RedisUrl = option(
        EMBEDDED,
        "redis://, rediss://, unix://, redis+cluster://h1,h2 or redis+sentinel://h1,h2/SERVICE [a private Redis "
        "of its own]",
        metavar="URL",
    )
    redis_patience: Duration = option(
        300.0,
        "how long to wait for Redis [5m; before the first connection, and in commands other than run, 5s]",
        metavar="TIME",
    )
    redis_ca_file: Path | None = option(
        None,
        "trust the certificate authorities in this PEM file for rediss:// [the system's]",
        metavar="FILE",
        needs="redis",
    )


class CrawlSettings(RedisSettings, FolderSettings):
    """The crawl and its Redis."""


class ScopeSettings(BaseModel):
    """The pages that a crawl visits."""

    urls: Lines = option((), "the first pages", metavar="URL", positional=True)
    seeds: str | None = option(
        None, "more seeds: a file with one URL a line, - is stdin", metavar="FILE", first=True
    )
    sitemap: str = option(
        "off",
        "auto (from robots.txt), the URL of one, or off [off]",
        metavar="URL",
        pattern=r"^(auto|off|https?://.+)$",
        first=True,
    )
    sitemap_since: UtcDate | None = option(
        None, "only pages that changed since this date, as the sitemaps say", metavar="DATE", needs="sitemap"
    )
    scope: ScopeKind = option(ScopeKind.HOST, "how far to follow links [host]", first=True)
    include: Lines = option(
        (), "visit only URLs that contain this pattern (repeatable)", metavar="RE", first=True
    )
    exclude: Lines = option((), "skip URLs that contain this pattern (repeatable)", metavar="RE")
    depth: int | None = option(
        None, "how many links away from a seed [no limit]", metavar="N", ge=0, first=True
    )
    limit: int = option(
        0,
        "how many pages to render, over all nodes and runs of the crawl [no limit]",
        metavar="N",
        ge=0,
        first=True,
    )
    time_limit: Duration | None = option(None, "how long to run [no limit]", metavar="TIME", gt=0)
    robots: Literal["obey", "ignore"] = option("obey", "whether to obey robots.txt and nofollow [obey]")
    keep_params: Words = option(
        (),
        "tracking parameters to keep, separated by commas (repeatable), because they identify the page",
        metavar="NAMES",
    )
    hash_routes: HashRoutesOption = option(
        HashRoutes.OFF,
        "whether #/ and #! addresses are pages: auto, if a page's script routes by them; on (the flag alone), "
        "always, as they are written [off]",
        alone="on",
        alone_no="off",
    )
    dedup: Literal["exact", "bloom"] = option(
        "exact", "how known URLs are stored: exact sets, or a Bloom filter of a quarter the size [exact]"
    )
    fresh: bool = option(False, "forget the crawl of this name, records included, and start anew")

    @field_validator("keep_params", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        given = [value] if isinstance(value, str) else value
        return tuple(name.strip().lower() for part in given for name in part.split(",") if name.strip())


class PoolSettings(BaseModel):
    """Number of contexts and browsers, and memory."""

    contexts: CountOrAuto = option(
        None,
        "browser contexts that work at the same time [auto: two a core, more while there is CPU left]",
        metavar="N",
        first=True,
    )
    engines: CountOrAuto = option(None, "browser processes for the contexts [auto]", metavar="N")
    memory: MemoryBudget = option(Memory("75%", share=0.75), "budget of all processes [75%%]", metavar="SIZE")
    ramp_up: Duration = option(10.0, "time in which all contexts are started [10s]", metavar="TIME", ge=0)
    recycle_pages: int = option(100, "pages after which a context is replaced [100]", metavar="N", ge=1)
    isolation: Literal["site", "url"] = option(
        "site", "whether a context is for one site or for one URL [site]"
    )


class SafetySettings(BaseModel):
    """Politeness and safety."""

    rate: RateLimit | None = option(
        None, "visits to one site, over all nodes [learnt from its answers]", metavar="RATE", first=True
    )
    site_concurrency: int | None = option(
        None,
        "visits to one site at once, over all nodes [8 at first, then learnt from its answers]",
        metavar="N",
        ge=1,
    )
    global_rate: RateLimit | None = option(None, "visits in all, over all nodes [no limit]", metavar="RATE")
    global_concurrency: int | None = option(
        None, "visits at once, over all nodes [no limit]", metavar="N", ge=1
    )
    retries: int = option(3, "how often a failed page is tried again [3]", metavar="N", ge=0)
    max_queued: int = option(
        10_000_000,
        "URLs that may wait at once, over all nodes; beyond that links are left out, the least urgent first, and "
        "counted [10000000]",
        metavar="N",
        ge=1,
        le=2_000_000_000,
    )
    max_site_queued: int = option(
        1_000_000,
        "the same for the URLs of one site and priority [1000000]",
        metavar="N",
        ge=1,
        le=2_000_000_000,
    )
    lives: int = option(
        3,
        "how many nodes may die while they visit only this URL before it is given up [3]",
        metavar="N",
        ge=1,
        le=1000,
    )


class OutputSettings(BaseModel):
    """Sinks, and the contents of records."""

    sink: Sinks = option(
        (DEFAULT,),
        f"where records go: {FORMS} (repeatable) [jsonl, which is pages.jsonl in the output folder]",
        metavar="SINK",
        first=True,
    )
    sink_patience: Duration = option(
        300.0, "how long to wait for an unavailable sink [5m]", metavar="TIME", gt=0
    )
    warc_all: bool = option(
        False, "store everything that pages load in --sink warc:DIR, not only their documents"
    )
    html: bool = option(True, "keep the pages' HTML [yes]")
    bodies: bool = option(
        False,
        "keep the HTML in compressed files instead of records: bodies/ in the output folder, the same HTML once",
        needs="html",
    )
    text: bool = option(True, "keep the pages' text [yes]")
    markdown: bool = option(False, "keep each page as Markdown too")
    main_text: bool = option(False, "keep the text of each page's main content too")
    images: bool = option(False, "list the pages' images, videos and sounds")
    extract: FileOrNone = option(None, "extract items as this TOML file declares them", metavar="FILE")
    app: TextOrNone = option(
        None, "handlers of pages: a Farm object in a Python module, such as shop:farm", metavar="MODULE:NAME"
    )
    snapshots: bool = option(
        False,
        "keep a picture and the HTML of pages whose URLs are given up, the last 1,000: snapshots/ [no]",
    )
    max_disk: Size | None = option(
        None, "how large the output folder may become; at the limit the run ends [no limit]", metavar="SIZE"
    )
    file_mode: FileMode = option(
        0o600,
        "mode of written files, such as 0640 to let the group read them [0600]",
        metavar="MODE",
    )


class NodeSettings(BaseModel):
    """This node among the others of the crawl."""

    webhook: WebhookUrl | None = option(
        None,
        "POST events there, signed: a dead letter, a blocked site, the end of the crawl, a limit reached",
        metavar="URL",
        needs="webhook_secret_file",
    )
    webhook_secret_file: Path | None = option(
        None, "the secret that signs the events", metavar="FILE", needs="webhook"
    )
    otlp: WebhookUrl | None = option(
        None,
        "send a trace of each visit there, by OpenTelemetry's OTLP over HTTP, such as http://127.0.0.1:4318",
        metavar="URL",
    )
    keep_for: Duration | None = option(
        None,
        "how long Redis keeps a finished crawl once its nodes have ended; `farm run`, `add` and "
        "`dead replay` cancel this [for ever]",
        metavar="TIME",
        needs="redis",
        gt=0,
    )

    node: str | None = option(
        None,
        "name of this node [host name and a random part, kept in the output folder]",
        metavar="NAME",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        forms="1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first",
    )
    processes: CountOrAuto = option(
        1,
        "processes of this node that share its contexts, its memory and its output; auto: one for eight cores [1]",
        metavar="N",
    )
    drain_timeout: Duration = option(
        25.0,
        "how long a run that receives a signal may take to end, mostly for the pages under way [25s]",
        metavar="TIME",
        gt=0,
    )
    stay: bool = option(False, "wait for `farm add` when nothing is left [no]")


class DisplaySettings(BaseModel):
    """The live view, the log and the metrics."""

    live: Literal["auto", "on", "off"] = option("auto", "the live view [auto: when in a terminal]")
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info", "lowest level that is logged [info]"
    )
    log_format: Literal["text", "json"] = option("text", "format of the log [text]")
    metrics_port: int | None = option(
        None,
        "serve the view as a web page, /metrics for Prometheus, /healthz and /readyz on this port; 0 is any [off]",
        metavar="PORT",
        ge=0,
        le=65535,
    )
    metrics_host: str = option(
        "127.0.0.1",
        "address on which the metrics are served [127.0.0.1]",
        metavar="HOST",
        needs="metrics_port",
    )
    token_file: Path | None = option(
        None,
        "a file with what the web page asks for before it shows URLs and pictures, and can pause the crawl",
        metavar="FILE",
        needs="metrics_port",
    )

"""The options of each command."""

from pathlib import Path
from typing import Literal

from farm.export.destination import FORMS as DESTINATIONS
from farm.settings.load import CommandSettings
from farm.settings.options import (
    CrawlSettings,
    DisplaySettings,
    FolderSettings,
    NodeSettings,
    OutputSettings,
    PoolSettings,
    RedisSettings,
    SafetySettings,
    ScopeSettings,
    option,
)
from farm.settings.page_options import BrowserSettings, EgressSettings, RenderSettings, SiteSettings
from farm.settings.units import (
    CountOrAuto,
    Duration,
    FileOrNone,
    Lines,
    Listed,
    Memory,
    MemoryBudget,
    RateLimit,
    To,
    UtcDate,
)


class RunSettings(
    DisplaySettings,
    NodeSettings,
    OutputSettings,
    SafetySettings,
    EgressSettings,
    SiteSettings,
    RenderSettings,
    BrowserSettings,
    PoolSettings,
    ScopeSettings,
    CrawlSettings,
    CommandSettings,
):
    """`farm run`."""

    goes_on = True


class OnePageSettings(EgressSettings, SiteSettings, RenderSettings, BrowserSettings, CommandSettings):
    """One page."""

    urls: Lines = option((), "the page", metavar="URL", positional=True)
    robots: Literal["obey", "ignore"] = option("obey", "whether to obey robots.txt [obey]")
    retries: int = option(1, "how often a failed page is tried again [1]", metavar="N", ge=0)
    memory: MemoryBudget = option(Memory("75%", share=0.75), "budget of all processes [75%%]", metavar="SIZE")


class ShellSettings(OnePageSettings):
    """`farm shell`."""


class LoginSettings(OnePageSettings):
    """`farm login`."""

    save: Path | None = option(None, "file for the state, in Playwright's format, mode 0600", metavar="FILE")
    prompt: bool = option(False, "log in at a Python prompt instead of in a window, as over SSH")


class TimedPageSettings(OnePageSettings):
    """How long one page may take."""

    time_limit: Duration = option(120.0, "how long the command may take [2m]", metavar="TIME", gt=0)


class FetchSettings(TimedPageSettings):
    """`farm fetch`."""

    as_text: bool = option(False, "print the visible text, which is the default", flag="text")
    as_markdown: bool = option(False, "print it as Markdown", flag="markdown")
    as_main_text: bool = option(False, "print the text of its main content", flag="main_text")
    as_html: bool = option(False, "print the DOM of the settled page", flag="html")
    as_json: bool = option(
        False,
        "print the record as one line of JSON; with --markdown and --main-text it contains these too",
        flag="json",
    )


class InitSettings(CommandSettings):
    """`farm init`."""

    places: Lines = option(
        (), "the folder [the current one], and the first page", metavar="[DIR] [URL]", positional=True
    )


class ExtractSettings(TimedPageSettings):
    """`farm extract`; the first of `urls` is the declaration."""

    urls: Lines = option((), "the declaration, and the page", metavar="FILE [URL]", positional=True)
    sources: Lines = option(
        (),
        "read stored pages instead, from any source of `farm export` (repeatable)",
        metavar="SOURCE",
        flag="from",
    )
    to: Path | None = option(
        None, "file for the items of stored pages [standard output]", metavar="FILE", needs="sources"
    )
    as_json: bool = option(False, "print the items as JSON, one object a line, as --from does", flag="json")


class ExportSettings(FolderSettings, CommandSettings):
    """`farm export`."""

    sources: Lines = option(
        (), "what to export [the crawl's output folder]", metavar="SOURCE", positional=True
    )
    destination: To | None = option(
        None, f"{DESTINATIONS}; - for FILE is standard output", metavar="WHERE", flag="to"
    )
    items: bool = option(False, "export the items of these pages instead of the pages")
    pattern: Lines = option((), "only pages whose URL contains this pattern (repeatable)", metavar="RE")
    status: Listed = option((), "only pages of these statuses, such as 200,404 or 2xx", metavar="LIST")
    since: UtcDate | None = option(None, "only pages fetched since this date", metavar="DATE")
    until: UtcDate | None = option(None, "only pages fetched before this date", metavar="DATE")
    columns: Listed = option((), "only these columns, in this order [all]", metavar="LIST")
    force: bool = option(False, "replace an existing destination")


class StatusSettings(CrawlSettings, CommandSettings):
    """`farm status`."""

    as_json: bool = option(False, "print JSON", flag="json")


class RenderReportSettings(CrawlSettings, CommandSettings):
    """`farm render-report`."""

    one_site: str | None = option(
        None, "only templates of this site: HOST, or HOST:PORT", metavar="SITE", flag="site"
    )
    as_json: bool = option(False, "print JSON", flag="json")


class TopSettings(CrawlSettings, CommandSettings):
    """`farm top`."""


class ListSettings(RedisSettings, CommandSettings):
    """`farm list`."""

    folders: Lines = option((), "folders to search [the current one]", metavar="FOLDER", positional=True)
    as_json: bool = option(False, "print JSON, one object a line", flag="json")


class DeleteSettings(CrawlSettings, CommandSettings):
    """`farm delete`."""

    records: bool = option(False, "also delete the records and all other files of runs in the output folder")
    yes: bool = option(False, "delete without confirmation")
    as_json: bool = option(False, "print JSON", flag="json")


class PlanSettings(OnePageSettings, CrawlSettings):
    """`farm plan`; limits that are not given are those of the crawl."""

    urls: Lines = option(
        (), "first page of a short probe, which measures the cost of a page", metavar="URL", positional=True
    )
    pages: int = option(0, "number of pages [the crawl's open URLs]", metavar="N", ge=0)
    within: Duration | None = option(None, "time in which they must be done", metavar="TIME", gt=0)
    node_price: float | None = option(
        None,
        "price of a node for an hour, in any currency, to calculate that of a million pages",
        metavar="PRICE",
        gt=0,
    )
    page_time: Duration | None = option(None, "how long a visit takes [as measured]", metavar="TIME", gt=0)
    page_cpu: Duration | None = option(
        None, "CPU time of a page on one core [as measured, else 100ms]", metavar="TIME", gt=0
    )
    sites: int = option(
        0,
        "number of their sites [the crawl's, else those with a table]",
        metavar="N",
        ge=0,
    )
    contexts: CountOrAuto = option(None, "browser contexts of a node [auto]", metavar="N")
    ramp_up: Duration = option(10.0, "over which time contexts are started [10s]", metavar="TIME", ge=0)
    memory: MemoryBudget = option(Memory("75%", share=0.75), "budget of a node [75%%]", metavar="SIZE")
    rate: RateLimit | None = option(None, "visits to one site [the crawl's]", metavar="RATE")
    site_concurrency: int | None = option(None, "visits to one site at once [the crawl's]", metavar="N", ge=1)
    global_rate: RateLimit | None = option(None, "visits in all [the crawl's]", metavar="RATE")
    proxies: FileOrNone = option(None, "a file of proxies", metavar="FILE")
    proxy_rate: RateLimit | None = option(
        None, "visits through one proxy [the crawl's]", metavar="RATE", needs="proxies"
    )
    as_json: bool = option(False, "print JSON", flag="json")


class AddSettings(CrawlSettings, CommandSettings):
    """`farm add`."""

    urls: Lines = option((), "more seeds", metavar="URL", positional=True)
    seeds: str | None = option(None, "a file with one URL a line, - is stdin", metavar="FILE")


class SteerSettings(CrawlSettings, CommandSettings):
    """`farm pause`, `resume`, `drain` and `stop`."""

    one_node: str | None = option(
        None, "drain or resume only the node of this name", metavar="NAME", flag="node"
    )


class DeadSettings(CrawlSettings, CommandSettings):
    """`farm dead`."""

    reason: str | None = option(None, "only letters with this reason", metavar="REASON")
    one_site: str | None = option(
        None, "only letters of this site: HOST, or HOST:PORT", metavar="SITE", flag="site"
    )
    pattern: str | None = option(None, "only letters whose URL contains this pattern", metavar="RE")
    id: Lines = option((), "only the letter with this id, as without the flag (repeatable)", metavar="ID")
    start: int = option(0, "how many letters to skip", metavar="N", ge=0)
    size: int = option(100, "how many letters to list [100]", metavar="N", ge=1, le=10_000)
    as_json: bool = option(False, "print JSON, one object a line", flag="json")
    yes: bool = option(False, "drop without confirmation")
    ids: Lines = option((), "the letters' ids [all]", metavar="ID", positional=True)


class DoctorSettings(BrowserSettings, CrawlSettings, CommandSettings):
    """`farm doctor`."""

    audit: bool = option(
        False,
        "also prove the invariants of the crawl named by --output, or --redis and --crawl, in slices of "
        "milliseconds beside its nodes",
    )


class TableSettings(SiteSettings, ScopeSettings, CommandSettings):
    """The site tables of `farm.toml`, and the options of the scope."""

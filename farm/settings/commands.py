"""Which rooms' options each command has."""

from farm.settings.load import CommandSettings
from farm.settings.rooms import (
    BrowserSettings,
    CrawlSettings,
    DisplaySettings,
    EgressSettings,
    Lines,
    OutputSettings,
    PoolSettings,
    RenderSettings,
    SafetySettings,
    ScopeSettings,
    option,
)


class RunSettings(
    DisplaySettings,
    OutputSettings,
    SafetySettings,
    EgressSettings,
    RenderSettings,
    BrowserSettings,
    PoolSettings,
    ScopeSettings,
    CrawlSettings,
    CommandSettings,
):
    """`farm run`."""


class StatusSettings(CrawlSettings, CommandSettings):
    """`farm status`."""

    as_json: bool = option(False, "print JSON", flag="json")


class AddSettings(CrawlSettings, CommandSettings):
    """`farm add`."""

    urls: Lines = option((), "where to start as well", metavar="URL", positional=True)
    seeds: str | None = option(None, "a file with one URL a line, - is stdin", metavar="FILE")


class SteerSettings(CrawlSettings, CommandSettings):
    """`farm pause`, `resume`, `drain` and `stop`."""


class DeadSettings(CrawlSettings, CommandSettings):
    """`farm dead`."""

    reason: str | None = option(None, "only letters of this reason", metavar="REASON")
    start: int = option(0, "how many letters to pass over", metavar="N", ge=0)
    size: int = option(100, "how many letters to list [100]", metavar="N", ge=1, le=10_000)
    as_json: bool = option(False, "print JSON, one object a line", flag="json")
    ids: Lines = option((), "the letters' ids [all]", metavar="ID", positional=True)


class DoctorSettings(BrowserSettings, CrawlSettings, CommandSettings):
    """`farm doctor`."""

    audit: bool = option(
        False, "also prove the invariants of the crawl named by --output, or --redis and --crawl"
    )

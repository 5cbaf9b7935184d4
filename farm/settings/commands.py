"""Which rooms' options each command has."""

from farm.settings.load import CommandSettings
from farm.settings.rooms import (
    BrowserSettings,
    CrawlSettings,
    DisplaySettings,
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


class DoctorSettings(BrowserSettings, CrawlSettings, CommandSettings):
    """`farm doctor`."""

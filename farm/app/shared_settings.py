"""What the nodes of a crawl have agreed on: given when it is created, read back from Redis by those that join.

What changes which pages a crawl has, or what a record says of one, is agreed. A node's own are its size and its
deadlines (`--contexts`, `--memory`, `--page-timeout`), its way out (proxies, `--allow-network`, `--ca-file`,
`--insecure`), and what it reads beside the links (`--sitemap`). Anybody may have written to Redis.
"""

from collections.abc import Mapping
from typing import Any

from farm.app.sites import agreed_tables
from farm.frontier.crawl import Crawl
from farm.frontier.faults import unreadable
from farm.model.errors import FrontierRefused
from farm.model.url import HashRoutes
from farm.settings.commands import RunSettings
from farm.settings.options import (
    EgressSettings,
    OutputSettings,
    PoolSettings,
    RenderSettings,
    SafetySettings,
    ScopeSettings,
    SiteSettings,
)
from farm.settings.sites import SiteTable

CANONICALISATION = 1
"""Raised whenever the same link would become another canonical URL: nodes must not mix two versions."""
FOR_SEEDS = ("scope", "include", "exclude", "depth", "hash_routes")
"""What must be known to add a seed."""
OF_RECORDS = (
    "wait",
    "block",
    "max_page_size",
    "viewport",
    "user_agent",
    "click",
    "click_times",
    "scroll",
    "screenshot",
    "pdf",
    "download",
    "max_download",
    "locale",
    "timezone",
    "isolation",
    "html",
    "text",
)
"""Options that change what a record says; who joins without them has them from the crawl."""
NOT_ADOPTED = frozenset({"canonicalisation", "header_names", "site_headers", "with_storage_state"})
"""What a node cannot have from the crawl: its own code, and secrets, which are not kept in Redis."""
_YES_OR_NO = {HashRoutes.OFF: False, HashRoutes.ON: True}
_CHECKED = (
    ScopeSettings,
    SafetySettings,
    EgressSettings,
    RenderSettings,
    PoolSettings,
    OutputSettings,
    SiteSettings,
)


def agreed_settings(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that are stored with the crawl when it is created, as JSON has them."""
    of_records = settings.model_dump(mode="json", include=set(OF_RECORDS))
    width, height = settings.viewport
    of_records["viewport"] = f"{width}x{height}"
    if (settings.screenshot or settings.pdf) and "block" not in settings.model_fields_set:
        # A picture without its images is not what is meant, unless the user says so.
        of_records["block"] = []
    return {
        "canonicalisation": CANONICALISATION,
        "scope": settings.scope,
        "include": list(settings.include),
        "exclude": list(settings.exclude),
        "depth": settings.depth,
        # As crawls have had it since the option said yes or no: those go on, and so do older nodes.
        "hash_routes": _YES_OR_NO.get(settings.hash_routes, settings.hash_routes),
        "keep_params": sorted(settings.keep_params),
        "robots": settings.robots,
        "retries": settings.retries,
        "lives": settings.lives,
        "rate": settings.rate and settings.rate.text,
        "site_concurrency": settings.site_concurrency,
        "proxy_rate": settings.proxy_rate and settings.proxy_rate.text,
        "global_rate": settings.global_rate and settings.global_rate.text,
        "global_concurrency": settings.global_concurrency,
        "dedup": settings.dedup,
        "header_names": sorted(
            {header.reveal().partition(":")[0].strip().lower() for header in settings.header}
        ),
        "with_storage_state": settings.storage_state is not None,
        **agreed_tables(settings.site),
        **of_records,
    }


def adopted(settings: RunSettings, crawl: Crawl, place: str) -> RunSettings:
    """Return a node's settings with those of the crawl's that change what a record says."""
    values: dict[str, Any] = {}
    for room in (RenderSettings, PoolSettings, OutputSettings):
        stored = {name: crawl.settings[name] for name in OF_RECORDS if name in room.model_fields}
        try:
            checked = room.model_validate(stored)
        except (TypeError, ValueError):
            raise unreadable(place, "its settings are none that a farm has") from None
        values |= {name: getattr(checked, name) for name in stored}
    return settings.model_copy(update={**values, "site": _tables(settings, crawl, place)})


def stored_tables(agreed: Mapping[str, Any], place: str) -> dict[str, SiteTable]:
    """Return the site tables that a crawl is kept with, without their headers."""
    try:
        return SiteSettings.model_validate({"site": agreed.get("site", {})}).site
    except (TypeError, ValueError):
        raise unreadable(place, "its settings are none that a farm has") from None


def _tables(settings: RunSettings, crawl: Crawl, place: str) -> dict[str, SiteTable]:
    own = settings.site
    return {
        name: table.model_copy(update={"headers": own[name].headers if name in own else ()})
        for name, table in stored_tables(crawl.settings, place).items()
    }


def joined(given: Mapping[str, Any], stored: Mapping[str, Any], explicit: frozenset[str]) -> dict[str, Any]:
    """Return what a node says that joins: what its user did not say is as the crawl has it."""
    # A node without tables does not mention them at all.
    silent = {*given, "site"} - explicit - NOT_ADOPTED
    return {**given, **{name: stored[name] for name in silent & stored.keys()}}


def check_shared_settings(crawl: Crawl, place: str, *needed: str) -> None:
    """Raise where a setting is none that an option could have given, or where one that is needed is missing.

    Also where this farm would make other canonical URLs of the same links than the crawl has: FrontierRefused.
    """
    for name in needed:
        if name not in crawl.settings:
            raise unreadable(place, f"its settings lack {name}")
    for room in _CHECKED:
        try:
            room.model_validate(
                {name: crawl.settings[name] for name in room.model_fields.keys() & crawl.settings}
            )
        except (TypeError, ValueError):
            raise unreadable(place, "its settings are none that a farm has") from None
    theirs = crawl.settings.get("canonicalisation", CANONICALISATION)
    if not isinstance(theirs, int):
        raise unreadable(place, "its settings are none that a farm has")
    if theirs != CANONICALISATION:
        raise FrontierRefused(
            f"The crawl {crawl.name!r} was begun by a farm that writes URLs in another way (canonicalisation = "
            f"{theirs}, here {CANONICALISATION}); use that version of the farm, another --crawl, or --fresh."
        )

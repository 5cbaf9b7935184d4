"""The settings that outlive a run: agreed on by the nodes in Redis, kept in the output folder for the next run.

Settings that change which pages a crawl visits, or what a record contains, are agreed: given when the crawl is
created, and read back by the nodes that join. A node has its own size and deadlines (`--contexts`, `--memory`,
`--page-timeout`), egress (proxies, `--allow-network`, `--ca-file`, `--insecure`), and sources beside the links
(`--sitemap`). Anybody may have written to Redis.

The folder keeps the settings that change which pages are fetched, how, or what is kept of them; a later run may
override them, and its values are kept from then on.

Invariants: no secret is kept. Only the name of a header is kept, so that a run without it is refused before
anything is fetched.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from farm.frontier.crawl import Crawl
from farm.frontier.faults import unreadable
from farm.model.errors import FrontierRefused, OutputUnwritable, UsageError
from farm.model.secret import MASK
from farm.model.url import HashRoutes
from farm.policy.renderers import RenderMode
from farm.resources.files import create_anew, own_folder, read_own
from farm.settings.commands import RunSettings
from farm.settings.options import (
    OutputSettings,
    PoolSettings,
    SafetySettings,
    ScopeSettings,
)
from farm.settings.page_options import EgressSettings, RenderSettings, SiteSettings
from farm.settings.sites import SiteTable

CANONICALISATION = 1
"""Increased whenever the same link would become another canonical URL: nodes must not mix two versions."""
FOR_SEEDS = ("scope", "include", "exclude", "depth", "hash_routes")
"""The settings that are needed to add a seed."""
OF_RECORDS = (
    *("render", "wait", "block", "max_page_size", "viewport", "user_agent", "locale", "timezone"),
    *("isolation", "click", "click_times", "scroll", "screenshot", "pdf", "download", "max_download"),
    "consent",
    *("html", "bodies", "text", "images", "capture", "capture_max", "har", "markdown", "main_text"),
)
"""Options that change what a record contains; a node that joins without them takes them from the crawl."""
DECLARATION = "declaration"
"""The contents of the `--extract` file, not its name, which may differ between machines."""
SAID_WHERE_GIVEN = frozenset(
    {
        *("site", "render", "consent", "images", "capture", "capture_max", "har", "bodies"),
        *("markdown", "main_text", DECLARATION),
    }
)
"""Settings that older crawls lack: these continue, and so do older nodes, if the settings are not used."""
NOT_ADOPTED = frozenset(
    {"canonicalisation", "header_names", "site_headers", "with_storage_state", "with_login"}
)
"""Settings that a node cannot take from the crawl: its own code, and secrets, which are not kept in Redis."""
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
LARGEST_BYTES = 1 << 20
MOST_ORIGINS = 2000
FILE = "settings.json"
OF_ONE_RUN = frozenset(
    {
        *("redis", "redis_patience", "sink_patience", "crawl", "output", "urls", "seeds", "fresh"),
        *("limit", "time_limit", "max_disk", "proxy_bytes"),
        *("contexts", "engines", "memory", "ramp_up", "recycle_pages", "browser", "sandbox"),
        *("live", "log_level", "log_format", "drain_timeout", "processes"),
    }
)
"""Settings of a single run, such as when it ends, which are not kept."""


class StoredSettings(
    OutputSettings, SafetySettings, EgressSettings, RenderSettings, PoolSettings, ScopeSettings
):
    """The settings of a run that its output folder keeps; they are only read from there."""


def agreed_settings(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that are stored with the crawl when it is created, as JSON values."""
    of_records = settings.model_dump(mode="json", include=set(OF_RECORDS))
    unsaid: tuple[Any, ...] = (None, False, [], "off", RenderMode.BROWSER)
    of_records = {
        name: value
        for name, value in of_records.items()
        if value not in unsaid or name not in SAID_WHERE_GIVEN
    }
    width, height = settings.viewport
    of_records["viewport"] = f"{width}x{height}"
    if (settings.screenshot or settings.pdf) and "block" not in settings.model_fields_set:
        # A picture should contain the images, unless the user says otherwise.
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
        "max_queued": settings.max_queued,
        "max_site_queued": settings.max_site_queued,
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
    """Return a node's settings with those settings of the crawl that change what a record contains."""
    values: dict[str, Any] = {}
    for model in (RenderSettings, PoolSettings, OutputSettings):
        known = (name for name in OF_RECORDS if name in crawl.settings or name not in SAID_WHERE_GIVEN)
        stored = {name: crawl.settings[name] for name in known if name in model.model_fields}
        try:
            checked = model.model_validate(stored)
        except (TypeError, ValueError):
            raise unreadable(place, "its settings are none that a farm has") from None
        values |= {name: getattr(checked, name) for name in stored}
    return settings.model_copy(update={**values, "site": _tables(settings, crawl, place)})


def stored_tables(agreed: Mapping[str, Any], place: str) -> dict[str, SiteTable]:
    """Return the stored site tables of a crawl, without their headers."""
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
    """Return the agreed settings of a node that joins: those that its user did not give are the crawl's."""
    silent = {*given, *SAID_WHERE_GIVEN} - explicit - NOT_ADOPTED
    return {**given, **{name: stored[name] for name in silent & stored.keys()}}


def check_shared_settings(crawl: Crawl, place: str, *needed: str) -> None:
    """Check the settings of a crawl.

    Raises CrawlUnreadable if one has an impossible value or a `needed` one is missing, and FrontierRefused if this
    farm would make other canonical URLs from the same links than those of the crawl.
    """
    for name in needed:
        if name not in crawl.settings:
            raise unreadable(place, f"its settings lack {name}")
    for model in _CHECKED:
        try:
            model.model_validate(
                {name: crawl.settings[name] for name in model.model_fields.keys() & crawl.settings}
            )
        except (TypeError, ValueError):
            raise unreadable(place, "its settings are none that a farm has") from None
    theirs = crawl.settings.get("canonicalisation", CANONICALISATION)
    if not isinstance(theirs, int):
        raise unreadable(place, "its settings are none that a farm has")
    if theirs != CANONICALISATION:
        raise FrontierRefused(
            f"The crawl {crawl.name!r} was created by a farm that writes URLs in another way (canonicalisation "
            f"= {theirs}, here {CANONICALISATION}); use that version of the farm, another --crawl, or --fresh."
        )


def agreed_tables(tables: Mapping[str, SiteTable]) -> dict[str, Any]:
    """Return the tables as JSON values, without the values of headers; empty without tables."""
    if not tables:
        return {}
    said = {
        name: table.model_dump(mode="json", exclude={"headers"}, exclude_defaults=True)
        for name, table in tables.items()
    }
    names = {name: header_names(table) for name, table in tables.items() if table.headers}
    return {"site": said, **({"site_headers": names} if names else {})}


def header_names(table: SiteTable) -> list[str]:
    """Return the names of a table's headers, in lower case and in order."""
    return sorted({header.reveal().partition(":")[0].strip().lower() for header in table.headers})


def check_headers(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise UsageError if a node lacks headers that its crawl was created with."""
    wanted, there = stored.get("site_headers") or {}, given.get("site_headers") or {}
    for name, headers in sorted(wanted.items()):
        if there.get(name) != headers:
            raise UsageError(
                f'This crawl was created with headers in [site."{name}"] ({", ".join(headers)}), whose values are '
                "not kept; give them in farm.toml again, or start anew with --fresh."
            )


def take_up(
    settings: RunSettings, private: Path, crawl: str, agreed: Mapping[str, Any]
) -> tuple[RunSettings, str, Sequence[str]]:
    """Return the settings completed from earlier runs, a sentence with what was added, and the seeds' origins.

    The sentence is empty if nothing was added.

    `agreed` are the settings that Redis keeps. Raises UsageError if a secret or a file is missing now.
    """
    stored, origins = ({}, []) if settings.fresh else _read(private / FILE, crawl)
    names = [
        name
        for name in stored
        if name not in settings.model_fields_set
        and name in StoredSettings.model_fields
        and name not in OF_ONE_RUN
        and name not in agreed
    ]
    if "sink" in names and any(MASK in sink for sink in stored["sink"]):
        given = ", ".join(f"--sink {sink}" for sink in stored["sink"])
        raise UsageError(
            f"This crawl was created with {given}, of which the part with {MASK} is not kept; give all of it "
            "again."
        )
    if "header" in names:
        given = ", ".join(f"--header {name}" for name in stored["header"])
        raise UsageError(
            f"This crawl was created with {given}, whose value is not kept; give it again, or start anew "
            "with --fresh."
        )
    try:
        taken = StoredSettings.model_validate({name: stored[name] for name in names})
    except ValueError:
        raise UsageError(
            f"{private / FILE} holds settings that this farm does not have; remove it, and give them again."
        ) from None
    values = {name: getattr(taken, name) for name in names}
    for name, value in values.items():
        if isinstance(value, Path) and not value.exists():
            raise UsageError(
                f"{_flag(name)} {value}, with which this crawl was begun, is not there any more; give it again, "
                f"or {_flag(name)} none to continue without."
            )
    if not values:
        return settings, "", origins
    shown = taken.model_dump(mode="json")
    told = ", ".join(_told(name, shown[name]) for name in names)
    return settings.model_copy(update=values), f"using options of earlier runs: {told}", origins


def keep(
    settings: RunSettings, private: Path, crawl: str, agreed: Mapping[str, Any], origins: Sequence[str]
) -> None:
    """Write the settings that later runs reuse; raises OutputUnwritable."""
    shown = settings.model_dump(mode="json")
    values = {
        name: shown[name]
        for name in sorted(settings.model_fields_set - OF_ONE_RUN - agreed.keys())
        if name in StoredSettings.model_fields
    }
    for name in values:
        value = getattr(settings, name)
        if isinstance(value, Path):
            values[name] = str(value.absolute())
    if not settings.header:
        values.pop("header", None)
    else:
        values["header"] = [header.reveal().partition(":")[0].strip() for header in settings.header]
    path, draft = private / FILE, private / f".{FILE}.{os.getpid()}"
    try:
        own_folder(private)
        with os.fdopen(create_anew(draft, 0o600), "wb") as file:
            file.write(orjson.dumps({"crawl": crawl, "settings": values, "origins": origins[:MOST_ORIGINS]}))
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OutputUnwritable(
            f"{path} cannot be written ({error.strerror}); check the folder's permissions, or choose another "
            "--output."
        ) from None


def kept_sinks(private: Path) -> list[str]:
    """Return the sinks of the crawl in a folder, secrets masked; empty if it has the default."""
    try:
        found = orjson.loads(read_own(private / FILE, LARGEST_BYTES))["settings"]["sink"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _read(path: Path, crawl: str) -> tuple[dict[str, Any], list[str]]:
    """Return the kept settings and the origins; empty without a file of the farm, or if it is another crawl's."""
    try:
        # Its author could allow networks, or route the farm's traffic through a proxy of theirs.
        stored = orjson.loads(read_own(path, LARGEST_BYTES))
    except (OSError, orjson.JSONDecodeError):
        return {}, []
    if not isinstance(stored, dict) or stored.get("crawl") != crawl:
        return {}, []
    values, origins = stored.get("settings"), stored.get("origins")
    return (
        values if isinstance(values, dict) else {},
        [one for one in origins if isinstance(one, str)] if isinstance(origins, list) else [],
    )


def _told(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return _flag(name) if value else f"--no-{_flag(name)[2:]}"
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    return f"{_flag(name)} {text or 'none'}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

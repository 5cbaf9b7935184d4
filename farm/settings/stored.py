"""The settings that outlive a run: agreed on by the nodes in Redis, kept in the output folder for the next run.

What changes which pages a crawl has, or what a record says of one, is agreed: given when the crawl is created, and
read back by the nodes that join. A node's own are its size and its deadlines (`--contexts`, `--memory`,
`--page-timeout`), its way out (proxies, `--allow-network`, `--ca-file`, `--insecure`), and what it reads beside
the links (`--sitemap`). Anybody may have written to Redis.

Kept in the folder is what changes which pages are fetched, by which way, or what is kept of them; a later run that
says something else wins, and is what is kept from then on.

What always holds: no secret is kept. Of a header only the name is, so that a run without it is refused before
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
"""Raised whenever the same link would become another canonical URL: nodes must not mix two versions."""
FOR_SEEDS = ("scope", "include", "exclude", "depth", "hash_routes")
"""What must be known to add a seed."""
OF_RECORDS = (
    *("render", "wait", "block", "max_page_size", "viewport", "user_agent", "locale", "timezone"),
    *("isolation", "click", "click_times", "scroll", "screenshot", "pdf", "download", "max_download"),
    "consent",
    *("html", "bodies", "text", "images", "capture", "capture_max", "har", "markdown", "main_text"),
)
"""Options that change what a record says; who joins without them has them from the crawl."""
DECLARATION = "declaration"
"""What `--extract` says, whole: not the file's name, which is another on each machine."""
SAID_WHERE_GIVEN = frozenset(
    {
        *("site", "render", "consent", "images", "capture", "capture_max", "har", "bodies"),
        *("markdown", "main_text", DECLARATION),
    }
)
"""What older crawls do not know: those go on, and so do older nodes, where it is not used."""
NOT_ADOPTED = frozenset(
    {"canonicalisation", "header_names", "site_headers", "with_storage_state", "with_login"}
)
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
"""How a run works, or when it ends: what every run says for itself."""


class StoredSettings(
    OutputSettings, SafetySettings, EgressSettings, RenderSettings, PoolSettings, ScopeSettings
):
    """What of a run's settings its output folder keeps; read from there alone."""


def agreed_settings(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that are stored with the crawl when it is created, as JSON has them."""
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
    """Return a node's settings with those of the crawl's that change what a record says."""
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
    silent = {*given, *SAID_WHERE_GIVEN} - explicit - NOT_ADOPTED
    return {**given, **{name: stored[name] for name in silent & stored.keys()}}


def check_shared_settings(crawl: Crawl, place: str, *needed: str) -> None:
    """Raise where a setting is none that an option could have given, or where one that is needed is missing.

    Also where this farm would make other canonical URLs of the same links than the crawl has: FrontierRefused.
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
            f"The crawl {crawl.name!r} was begun by a farm that writes URLs in another way (canonicalisation = "
            f"{theirs}, here {CANONICALISATION}); use that version of the farm, another --crawl, or --fresh."
        )


def agreed_tables(tables: Mapping[str, SiteTable]) -> dict[str, Any]:
    """Return what nodes agree on of the tables, as JSON has it: all but the values of headers. Nothing of none."""
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
    """Raise UsageError where a node lacks headers that its crawl was begun with."""
    wanted, there = stored.get("site_headers") or {}, given.get("site_headers") or {}
    for name, headers in sorted(wanted.items()):
        if there.get(name) != headers:
            raise UsageError(
                f'This crawl was begun with headers in [site."{name}"] ({", ".join(headers)}), whose values are '
                "not kept; give them in farm.toml again, or begin anew with --fresh."
            )


def take_up(
    settings: RunSettings, private: Path, crawl: str, agreed: Mapping[str, Any]
) -> tuple[RunSettings, str, Sequence[str]]:
    """Return the settings with what the crawl was begun with, a sentence that names it, and the seeds' origins.

    The sentence is empty where nothing was taken up.

    `agreed` are the settings that Redis keeps. Raises UsageError where a secret or a file is missing now.
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
            f"This crawl was begun with {given}, of which the part with {MASK} is not kept; give all of it again."
        )
    if "header" in names:
        given = ", ".join(f"--header {name}" for name in stored["header"])
        raise UsageError(
            f"This crawl was begun with {given}, whose value is not kept; give it again, or begin anew "
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
                f"or {_flag(name)} none to go on without."
            )
    if not values:
        return settings, "", origins
    shown = taken.model_dump(mode="json")
    told = ", ".join(_told(name, shown[name]) for name in names)
    return settings.model_copy(update=values), f"going on with what the crawl was begun with: {told}", origins


def keep(
    settings: RunSettings, private: Path, crawl: str, agreed: Mapping[str, Any], origins: Sequence[str]
) -> None:
    """Write what a later run is to take up; raises OutputUnwritable."""
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
    """Return the sinks of the crawl in a folder, secrets masked; none where it has the default."""
    try:
        found = orjson.loads(read_own(private / FILE, LARGEST_BYTES))["settings"]["sink"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _read(path: Path, crawl: str) -> tuple[dict[str, Any], list[str]]:
    """Return what was kept, and the origins; nothing where there is no file of ours, or it is another crawl's."""
    try:
        # Who wrote it could open networks, or have our traffic go by a proxy of theirs.
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

"""What a crawl was begun with, kept in its output folder and taken up again when it is resumed.

Kept is what changes which pages are fetched, by which way, or what is kept of them; a later run that says
something else wins, and is what is kept from then on. What always holds: no secret is kept. Of a header only the
name is, so that a run without it is refused before anything is fetched.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.secret import MASK
from farm.resources.files import create_anew, own_folder, read_own
from farm.settings.commands import RunSettings, StoredSettings

LARGEST_BYTES = 1 << 20
MOST_ORIGINS = 2000
FILE = "settings.json"
OF_ONE_RUN = frozenset(
    {
        *("redis", "redis_patience", "sink_patience", "crawl", "output", "urls", "seeds", "fresh"),
        *("limit", "time_limit", "max_disk", "proxy_bytes"),
        *("contexts", "engines", "memory", "ramp_up", "recycle_pages", "browser", "sandbox"),
        *("live", "log_level", "log_format"),
    }
)
"""How a run works, or when it ends: what every run says for itself."""


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
            f"{path} cannot be written ({error.strerror}); see to the folder's permissions, or choose another "
            "--output."
        ) from None


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

"""The units that users write: durations (`8s`), sizes (`3GiB`), rates (`5/s`), and parts of the machine."""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer
from pydantic_settings import NoDecode

from farm.export.destination import Destination, parse_destination
from farm.model.page import CaptureRule
from farm.model.secret import SecretHeader, SecretPathUrl, SecretUrl
from farm.model.url import HashRoutes
from farm.sinks.address import SinkAddress, parse_sink

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_LOOSE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(?:/|per\b)?\s*([a-z]{0,12})", re.IGNORECASE)
"""A number without a unit, or with a differently spelt one: `5`, `5 sec`, `6G`, `5 per second`."""
_TIMES = {"": "s", "ms": "ms", "milli": "ms", "mo": "", "m": "m", "s": "s", "h": "h", "d": "d"}
_RATES = {name: unit and f"/{unit}" for name, unit in _TIMES.items()}
_SIZES = {"": "MiB or {0}GiB", "k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "b": "B"}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(ms|s|m|h|d)")
VIEWPORT_MOST = 10_000
_HASH_ROUTES = {
    **dict.fromkeys(("true", "yes", "1"), HashRoutes.ON),
    **dict.fromkeys(("false", "no", "0"), HashRoutes.OFF),
}
BLOCKABLE = ("images", "media", "fonts", "stylesheets", "trackers")
_WAITS = frozenset({"settle", "load", "domcontentloaded"})
_SELECTOR = "css:"
_MODES = frozenset(mode for mode in range(0o600, 0o667) if not mode & 0o111)
_ZONE = re.compile(r"[A-Za-z]+(/[A-Za-z0-9_+-]+)*")
_VIEWPORT = re.compile(r"(\d{2,5})x(\d{2,5})")


@dataclass(frozen=True, slots=True)
class Memory:
    """A size, or a share of the memory of the machine or its cgroup; `text` is the user's text."""

    text: str
    size_bytes: int | None = None
    share: float | None = None

    def of(self, machine_bytes: int) -> int:
        """Return the budget in bytes on a machine of that size."""
        return self.size_bytes if self.size_bytes is not None else int((self.share or 0) * machine_bytes)


def parse_duration(value: Any) -> float:
    """Return seconds; raises ValueError with the allowed forms. A number without a unit is not allowed."""
    found = _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"write a duration such as 500ms, 8s, 10m or 2h{_meant(value, _TIMES)}")
    return float(found[1]) * _SECONDS[found[2]]


def _meant(value: Any, units: Mapping[str, str]) -> str:
    """Return ` (did you mean 5s?)` for a nearly correct text, or nothing; `units` are by the start of a name."""
    found = _LOOSE.fullmatch(str(value).strip())
    if found is None or (units is not _TIMES and not float(found[1])):
        return ""
    word = found[2].lower()
    unit = next(
        (unit for name, unit in units.items() if word == name or (name and word.startswith(name))), ""
    )
    return f" (did you mean {found[1]}{unit.format(found[1])}?)" if unit else ""


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of events in a time; `text` is the user's text."""

    text: str
    per_s: float


def parse_rate(value: Any) -> Rate:
    """Return a rate; raises ValueError with the allowed forms."""
    if isinstance(value, Rate):
        return value
    text = str(value).strip()
    found = _RATE.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"write a rate such as 5/s, 30/m or 1000/h{_meant(value, _RATES)}")
    return Rate(text, float(found[1]) / _SECONDS[found[2]])


def parse_memory(value: Any) -> Memory:
    """Return a size or a share; raises ValueError with the allowed forms."""
    if isinstance(value, Memory):
        return value
    text = str(value).strip()
    share = _SHARE.fullmatch(text)
    if share is not None and 0 < float(share[1]) <= 100:  # noqa: PLR2004
        return Memory(text, share=float(share[1]) / 100)
    size = _SIZE.fullmatch(text)
    if size is None or float(size[1]) == 0:
        raise ValueError(
            f"write a size such as 512MiB or 6GiB, or a share such as 75%{_meant(value, _SIZES)}"
        )
    return Memory(text, size_bytes=int(float(size[1]) * _BYTES[size[2].lower()]))


def parse_size(value: Any) -> Memory:
    """Return a size; raises ValueError with the allowed forms."""
    try:
        memory = parse_memory(value)
    except ValueError:
        memory = None
    if memory is None or memory.size_bytes is None:
        raise ValueError(f"write a size such as 512MiB or 20GiB{_meant(value, _SIZES)}")
    return memory


def parse_viewport(value: Any) -> tuple[int, int]:
    """Return width and height in pixels; raises ValueError with the allowed forms."""
    if isinstance(value, tuple):
        return value
    found = _VIEWPORT.fullmatch(str(value).strip())
    if found is None or not all(0 < int(part) <= VIEWPORT_MOST for part in found.groups()):
        raise ValueError("write a viewport such as 1280x800")
    return int(found[1]), int(found[2])


def parse_wait(value: Any) -> str:
    """Return the rule that a page is waited for; raises ValueError with the allowed forms."""
    text = str(value)
    if text.startswith(_SELECTOR):
        if not text.removeprefix(_SELECTOR).strip():
            raise ValueError("it needs a selector; write for example css:.product")
    elif text not in _WAITS:
        raise ValueError("write settle, load, domcontentloaded or css:SELECTOR")
    return text


def parse_kinds(value: Any) -> tuple[str, ...]:
    """Return the kinds that are not loaded, empty for `none`; raises ValueError for an unknown one."""
    kinds = words(",".join(map(str, value)) if isinstance(value, tuple | list) else str(value))
    if kinds == ("none",):
        return ()
    unknown = [kind for kind in kinds if kind not in BLOCKABLE]
    if unknown:
        raise ValueError(f"{unknown[0]} is not one of {', '.join(BLOCKABLE)} or none")
    return tuple(kinds)


def parse_count_or_auto(value: Any) -> int | None:
    """Return a number of at least one, or None for `auto`; raises ValueError with the allowed forms."""
    if value is None or str(value) == "auto":
        return None
    text = str(value)
    if not text.isdigit() or int(text) < 1:
        raise ValueError("write a number of at least 1, or auto")
    return int(text)


def parse_mode(value: Any) -> int:
    """Return a file's mode; raises ValueError with the allowed forms."""
    if isinstance(value, int) and not isinstance(value, bool) and value in _MODES:
        return value
    text = str(value).strip().removeprefix("0o")
    if not re.fullmatch(r"0?[0-7]{3}", text) or int(text, 8) not in _MODES:
        raise ValueError(
            "write a mode such as 0600, 0640 or 0644: the owner reads and writes, nobody executes"
        )
    return int(text, 8)


def parse_date(value: Any) -> datetime:
    """Return the beginning of a day, or a moment; raises ValueError with the allowed forms."""
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError("write a date such as 2026-01-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_timezone(zone: str) -> bool:
    """Return whether there is a time zone of this name; where the system has no list, whether it could be one."""
    known = zoneinfo.available_timezones()
    return zone in known if known else _ZONE.fullmatch(zone) is not None


def parse_hash_routes(value: Any) -> HashRoutes:
    """Return which hash routes are pages; yes and no mean on and off. Raises ValueError."""
    text = str(value).strip().lower()
    try:
        return HashRoutes(_HASH_ROUTES.get(text, text))
    except ValueError:
        raise ValueError(f"write {', '.join(HashRoutes)}") from None


def parse_capture(value: Any) -> str:
    """Return the user's text for what is captured; raises ValueError with the allowed forms."""
    CaptureRule.parse(str(value))
    return str(value)


def as_secret_url(value: Any) -> SecretUrl:
    """Wrap a URL as a secret; whoever uses it checks that it is one."""
    return value if isinstance(value, SecretUrl) else SecretUrl(str(value))


def as_secret_path_url(value: Any) -> SecretPathUrl:
    """Take a URL out of sight of which the path is as secret as the rest."""
    return value if isinstance(value, SecretPathUrl) else SecretPathUrl(str(value))


def as_secret_header(value: Any) -> SecretHeader:
    """Wrap a header line as a secret; whoever uses it checks that it is one."""
    return value if isinstance(value, SecretHeader) else SecretHeader(str(value))


def lines(value: Any) -> Any:
    """Return the lines of a text: a list in an environment variable, whose values may contain commas."""
    if isinstance(value, str):
        return tuple(line.strip() for line in value.splitlines() if line.strip())
    return value


def none_or(value: Any) -> Any:
    """Return None for `none`: it removes a value that the crawl was created with."""
    if value == "none":
        return None
    return () if isinstance(value, list | tuple) and list(value) == ["none"] else value


def words(value: Any) -> Any:
    """Return the words of a text, separated by commas."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def listed(value: Any) -> Any:
    """Return the words of a text, or of several, separated by commas."""
    given = [value] if isinstance(value, str) else value
    return tuple(word for part in given for word in words(part)) if isinstance(given, list | tuple) else given


Duration = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(lambda s: f"{s:g}s")]
MemoryBudget = Annotated[Memory, BeforeValidator(parse_memory), PlainSerializer(lambda memory: memory.text)]
Size = Annotated[Memory, BeforeValidator(parse_size), PlainSerializer(lambda memory: memory.text)]
Viewport = Annotated[
    tuple[int, int],
    NoDecode,
    BeforeValidator(parse_viewport),
    PlainSerializer(lambda pixels: f"{pixels[0]}x{pixels[1]}"),
]
RateLimit = Annotated[Rate, BeforeValidator(parse_rate), PlainSerializer(lambda rate: rate.text)]
HeaderLine = Annotated[InstanceOf[SecretHeader], BeforeValidator(as_secret_header), PlainSerializer(str)]
WebhookUrl = Annotated[InstanceOf[SecretPathUrl], BeforeValidator(as_secret_path_url), PlainSerializer(str)]
RedisUrl = Annotated[InstanceOf[SecretUrl], BeforeValidator(as_secret_url), PlainSerializer(str)]
Sink = Annotated[InstanceOf[SinkAddress], BeforeValidator(parse_sink), PlainSerializer(str)]
To = Annotated[InstanceOf[Destination], BeforeValidator(parse_destination), PlainSerializer(str)]
CountOrAuto = Annotated[int | None, BeforeValidator(parse_count_or_auto)]
WaitRule = Annotated[str, BeforeValidator(parse_wait)]
BlockedKinds = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_kinds)]
FileMode = Annotated[int, BeforeValidator(parse_mode), PlainSerializer(lambda mode: f"0{mode:o}")]
HashRoutesOption = Annotated[HashRoutes, BeforeValidator(parse_hash_routes)]
UtcDate = Annotated[datetime, BeforeValidator(parse_date)]
Words = Annotated[tuple[str, ...], NoDecode]
Lines = Annotated[Words, BeforeValidator(lines)]
Listed = Annotated[Words, BeforeValidator(listed)]
Captures = Annotated[tuple[Annotated[str, BeforeValidator(parse_capture)], ...], NoDecode]
Headers = Annotated[tuple[HeaderLine, ...], NoDecode]
FileOrNone = Annotated[Path | None, BeforeValidator(none_or)]
TextOrNone = Annotated[str | None, BeforeValidator(none_or)]

"""The seeds of a crawl: from the command line, a file or standard input.

A seeds file has one URL or one JSON object per line (`url`, `priority`, `meta`, `label`, `render`). Blank lines
and `#` comments are skipped; a bad line is reported with its number, and the rest is taken. Nothing here needs the
crawl to exist: the seeds are read first, so that bad input leaves no half-created crawl.

Invariants: any bytes are accepted, no line is kept beyond its cap, and at most `MAX_BAD` sentences are
kept, so that a file of another kind is reported at once.
"""

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from farm.model.errors import UsageError
from farm.model.outcome import SkipReason
from farm.model.task import UrlTask
from farm.model.url import HashRoutes, fingerprint
from farm.policy.renderers import RenderMode
from farm.scope.canonical import MAX_CHARS, CanonicalUrl, canonicalise, has_credentials

_KEYS = frozenset({"url", "priority", "meta", "label", "render"})
_TOP_PRIORITY = 9
_BARE_HOST = re.compile(r"(?:localhost|[^\s/:?#@]+\.[^\s/:?#@]+)(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_SHOWN_CHARS = 80
_BASIC = "give them by --header 'Authorization: Basic ...'"
MAX_LINE = 2**20
MAX_META = 64 * 1024
"""Bytes of JSON; each record that comes from the seed contains them."""
MAX_LABEL = 100
MAX_BAD = 100
_PIECE = 64 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Seed:
    """A canonical URL to start from; `raw` is the text that was given, where it differs."""

    url: str
    site: str
    priority: int = 5
    meta: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    label: str | None = None
    render: str | None = None

    def reparsed(self, *, hash_routes: HashRoutes, keep_params: Collection[str]) -> "Seed":
        """Return the seed with its URL canonicalised by these settings."""
        found = parse_seed(self.raw or self.url, hash_routes=hash_routes, keep_params=keep_params)
        return replace(self, url=found.url, site=found.site, raw=found.raw)

    def task(self, key: bytes) -> UrlTask:
        """Return the task of this seed; `key` is the crawl's fingerprint key."""
        return UrlTask(
            self.url,
            self.site,
            fingerprint(self.url, key),
            priority=self.priority,
            meta=self.meta,
            label=self.label,
            render=self.render,
        )


@dataclass(frozen=True, slots=True)
class BadSeedLine:
    """A bad line: its number, from 1, and a sentence with the remedy."""

    number: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a file, unique by URL and in order, and its bad lines.

    `bad` are the first bad lines; `more_bad` is how many follow.
    """

    seeds: tuple[Seed, ...] = ()
    bad: tuple[BadSeedLine, ...] = ()
    more_bad: int = 0

    @property
    def urls(self) -> list[str]:
        """The canonical URLs, for the rules of the scope."""
        return [seed.url for seed in self.seeds]

    def tasks(self, key: bytes) -> list[UrlTask]:
        """Return the seeds as tasks of the crawl with this fingerprint key."""
        return [seed.task(key) for seed in self.seeds]


def read_seeds(
    source: str, *, hash_routes: HashRoutes = HashRoutes.OFF, keep_params: Collection[str] = ()
) -> Seeds:
    """Read a seeds file, or standard input where `source` is `-`."""
    if source == "-":
        return parse_seeds(_lines(sys.stdin.buffer), hash_routes=hash_routes, keep_params=keep_params)
    try:
        with Path(source).open("rb") as file:
            return parse_seeds(_lines(file), hash_routes=hash_routes, keep_params=keep_params)
    except OSError as error:
        raise UsageError(
            f"the seeds file {source} cannot be read ({error.strerror}); "
            "give --seeds a file with one URL a line"
        ) from None


def given_seeds(
    urls: Iterable[str | Mapping[str, Any]],
    file: str | None,
    *,
    hash_routes: HashRoutes,
    keep_params: Collection[str],
) -> tuple[tuple[Seed, ...], tuple[str, ...]]:
    """Return the seeds, unique by URL, and a sentence for each bad line of the file.

    One of the `urls` may be a mapping with the keys that an object in a seeds file has.

    A user and a password in a URL are not part of the seed; a sentence says so once.

    Raises UsageError if the file has lines and none of them is a URL: it is probably the wrong file.
    """
    found: dict[str, Seed] = {}
    for url in urls:
        entry = url if isinstance(url, Mapping) else {"url": url}
        seed = _seed(entry, hash_routes=hash_routes, keep_params=keep_params)
        found.setdefault(seed.url, seed)
    if file is None:
        return _without_credentials(found.values(), ())
    read = read_seeds(file, hash_routes=hash_routes, keep_params=keep_params)
    name = "standard input" if file == "-" else file
    said = tuple(f"{name}, line {bad.number}: {bad.sentence}" for bad in read.bad)
    if read.more_bad:
        said += (f"{name}: {read.more_bad} more lines are no URLs",)
    if read.bad and not read.seeds:
        raise UsageError(f"{said[0]}; no line of the file is a URL.")
    for seed in read.seeds:
        found.setdefault(seed.url, seed)
    return _without_credentials(found.values(), said)


def _without_credentials(
    found: Iterable[Seed], said: tuple[str, ...]
) -> tuple[tuple[Seed, ...], tuple[str, ...]]:
    """Return seeds and sentences, with one about the first seed whose user and password are not sent."""
    seeds = tuple(found)
    url = next((seed.url for seed in seeds if has_credentials(seed.raw)), None)
    return seeds, said if url is None else (
        *said,
        f"{url} is visited without its user and password; {_BASIC}",
    )


def reparsed(
    seeds: Sequence[Seed], *, hash_routes: HashRoutes, keep_params: Collection[str]
) -> tuple[Seed, ...]:
    """Return the seeds with their URLs canonicalised by these settings, unique by URL."""
    found = (seed.reparsed(hash_routes=hash_routes, keep_params=keep_params) for seed in seeds)
    return tuple({seed.url: seed for seed in found}.values())


def parse_seeds(
    lines: Iterable[bytes], *, hash_routes: HashRoutes = HashRoutes.OFF, keep_params: Collection[str] = ()
) -> Seeds:
    """Parse the lines of a seeds file; the first seed of a URL wins."""
    seeds: dict[str, Seed] = {}
    bad: list[BadSeedLine] = []
    wrong = 0
    for number, raw in enumerate(lines, start=1):
        try:
            if len(raw) > MAX_LINE:
                raise UsageError(f"it is longer than {MAX_LINE} bytes; write one URL a line")  # noqa: TRY301
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not line or line.startswith("#"):
                continue
            entry = _object(line) if line.startswith("{") else {"url": line}
            seed = _seed(entry, hash_routes=hash_routes, keep_params=keep_params)
        except (UnicodeDecodeError, UsageError) as error:
            is_text = isinstance(error, UsageError)
            wrong += 1
            if len(bad) < MAX_BAD:
                bad.append(
                    BadSeedLine(number, str(error) if is_text else "it is not UTF-8; save the file as UTF-8")
                )
        else:
            seeds.setdefault(seed.url, seed)
    return Seeds(tuple(seeds.values()), tuple(bad), wrong - len(bad))


def parse_seed(
    raw: str, *, hash_routes: HashRoutes = HashRoutes.OFF, keep_params: Collection[str] = ()
) -> Seed:
    """Return the seed of a URL as a user writes it. Raises `UsageError` with the remedy."""
    text = raw.strip()
    found = canonicalise(text, hash_routes=hash_routes, keep_params=keep_params)
    if isinstance(found, CanonicalUrl):
        return Seed(found.url, found.site, raw="" if text == found.url else text)
    if text == "-":
        raise UsageError('"-" is not a URL; give --seeds - to read URLs from standard input')
    shown = _shown(found.url)
    if len(text) <= MAX_CHARS and _BARE_HOST.fullmatch(text):
        raise UsageError(f'"{shown}" has no scheme; write https://{shown} or http://{shown}')
    if found.reason is SkipReason.TOO_LONG:
        raise UsageError(f'"{shown}" is longer than {MAX_CHARS} characters; give a shorter address')
    if re.match(r"https?:", text, re.IGNORECASE):
        raise UsageError(f'"{shown}" is not a valid URL; check its host and port')
    raise UsageError(f'"{shown}" cannot be crawled; give a URL that starts with http:// or https://')


def _seed(entry: Mapping[str, Any], *, hash_routes: HashRoutes, keep_params: Collection[str]) -> Seed:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise UsageError(f'"{_shown(unknown[0])}" is not a key of a seed; put what is your own under "meta"')
    url, priority, meta = entry.get("url"), entry.get("priority", 5), entry.get("meta", {})
    if not isinstance(url, str):
        raise UsageError('it has no "url"; write {"url": "https://…"}')
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= _TOP_PRIORITY:
        raise UsageError(f'"priority" must be a whole number from 0 to {_TOP_PRIORITY}')
    if not isinstance(meta, dict):
        raise UsageError('"meta" must be a JSON object')
    label = entry.get("label")
    if not isinstance(label, str | None) or len(label or "") > MAX_LABEL:
        raise UsageError(f'"label" must be a text of at most {MAX_LABEL} characters')
    render = entry.get("render")
    if not isinstance(render, str | None) or (render is not None and render not in [*RenderMode]):
        raise UsageError(f'"render" must be one of {", ".join(RenderMode)}')
    try:
        # In a record it is some levels deeper than here.
        size = len(orjson.dumps([[[[meta]]]]))
    except TypeError:
        raise UsageError('"meta" is nested too deep; write it with fewer levels') from None
    if size > MAX_META:
        raise UsageError(f'"meta" is longer than {MAX_META} bytes; keep it elsewhere, and its key here')
    found = parse_seed(url, hash_routes=hash_routes, keep_params=keep_params)
    return replace(found, priority=priority, meta=meta, label=label, render=render)


def _object(line: str) -> Mapping[str, Any]:
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"it is not valid JSON ({error}); write one object a line") from None
    return entry


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, with any line end; of one that is too long only enough to detect it."""
    rest, is_long = b"", False
    while piece := file.read(_PIECE):
        if piece.endswith(b"\r"):
            piece += file.read(1)
        *lines, rest = _LINE_END.split(rest + piece)
        for line in lines:
            yield b"x" * (MAX_LINE + 1) if is_long else line
            is_long = False
        if is_long or len(rest) > MAX_LINE:
            rest, is_long = b"", True
    if rest or is_long:
        yield b"x" * (MAX_LINE + 1) if is_long else rest

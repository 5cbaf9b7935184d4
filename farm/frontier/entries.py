"""The stored form of a URL: JSON after a short head that the scripts read.

The payload is `[url, depth, referrer, meta, label, revision, render]` without trailing defaults. A referrer mostly
shares its beginning with the URL, so it is `[shared characters, rest]`: half a million queued URLs are the smaller
for it. What comes back is checked field by field; it is never executed and never unpickled.
"""

import re
from functools import lru_cache
from typing import Any

import orjson

from farm.model.errors import UsageError
from farm.model.task import Lease, UrlTask
from farm.policy.renderers import RenderMode

_ENTRY = re.compile(rb"([0-9a-f]{16})([0-9])(?:(\d+)\.(\d+)\.(\d+))?(\[.*)\Z", re.DOTALL)
_FINGERPRINT = re.compile(r"[0-9a-f]{16}\Z")
_OF_THE_WEB = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[^/?#\[\]@:\x00-\x20\x7f-\U0010ffff]+)(?::(\d{1,5}))?(?:[/?#]|\Z)"
)
"""The beginning of a canonical URL; parsing it would add a tenth to the time of a lease."""
SUSPECT_DEATHS = 2
"""At so many deaths of nodes a URL was leased with others; from then on it is leased alone. As in `queue.lua`."""
_REMEMBERED = 8192
"""Fingerprints in the form of the scripts: most links of a page are those of the page before."""
_LAST_PORT = 65535
_FIELDS = 7
_RENDERS = frozenset({None, *map(str, RenderMode)})
_LONGEST_SITE = 300


class CorruptEntry(ValueError):
    """A value in Redis is not an entry."""


@lru_cache(_REMEMBERED)
def fingerprint_of(fingerprint: str) -> bytes:
    """Return a fingerprint as the scripts take it: its low 52 bits in decimal, as the filter has them, and all."""
    if not _FINGERPRINT.match(fingerprint):
        raise UsageError(f"The fingerprint {fingerprint!r} is not 16 hex digits.")
    return f"{int(fingerprint[3:], 16) | 1 << 52}{fingerprint}".encode()


def encode_task(task: UrlTask) -> bytes:
    """Return a task as `add` and `ack` take it: fingerprint, band, site, newline, payload."""
    if not task.site or len(task.site) > _LONGEST_SITE or not task.site.isprintable():
        raise UsageError(f"The site {task.site[:80]!r} of a URL cannot be kept.")
    band = min(9, max(0, task.priority))
    head = b"%s%d%s\n" % (fingerprint_of(task.fingerprint), band, task.site.encode())
    return head + encode_payload(task)


def encode_payload(task: UrlTask) -> bytes:
    """Return a task as it stands behind the head of its entry. Raises UsageError if its meta is not JSON."""
    fields: list[Any] = [task.url, task.depth, _shared(task), dict(task.meta)]
    fields += [task.label, task.revision, task.render]
    # An empty label has a meaning too: the user's code followed this URL.
    while len(fields) > 1 and not (fields[-1] or fields[-1] == ""):
        fields.pop()
    try:
        return orjson.dumps(fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The meta of {task.url} cannot be written as JSON ({error}).") from None


def _shared(task: UrlTask) -> list[Any] | None:
    if task.referrer is None:
        return None
    shared, beyond = 0, min(len(task.url), len(task.referrer)) + 1
    while beyond - shared > 1:
        middle = (shared + beyond) // 2
        if task.url[:middle] == task.referrer[:middle]:
            shared = middle
        else:
            beyond = middle
    return [shared, task.referrer[shared:]]


def decode_lease(token: bytes, site: bytes, entry: bytes, slot: str) -> Lease:
    """Return the lease that a script granted."""
    match = _ENTRY.match(entry)
    if not match:
        raise CorruptEntry("it is not an entry")
    try:
        name = site.decode()
    except UnicodeDecodeError:
        raise CorruptEntry("its site is not a text") from None
    fingerprint, band, fails, throttled, deaths, payload = match.groups()
    url, depth, referrer, meta, label, revision, render = _fields(payload)
    task = UrlTask(
        url=url,
        site=name,
        fingerprint=fingerprint.decode(),
        depth=depth,
        priority=int(band),
        referrer=referrer,
        meta=meta,
        label=label,
        revision=revision,
        render=render,
    )
    return Lease(
        task=task,
        slot=slot,
        token=int(token),
        attempt=int(fails or 0) + 1,
        throttled=int(throttled or 0),
        alone=int(deaths or 0) >= SUSPECT_DEATHS,
    )


def _fields(payload: bytes) -> tuple[str, int, str | None, dict[str, Any], str | None, int, str | None]:
    try:
        fields = orjson.loads(payload)
    except ValueError as error:
        raise CorruptEntry(str(error)) from None
    if not isinstance(fields, list) or not 1 <= len(fields) <= _FIELDS:
        raise CorruptEntry(f"the payload is not a list of one to {_FIELDS} fields")
    defaults: list[Any] = [None, 0, None, {}, None, 0, None]
    url, depth, shared, meta, label, revision, render = fields + defaults[len(fields) :]
    if not isinstance(url, str) or not _is_of_the_web(url):
        raise CorruptEntry("the URL is not of the web")
    if type(depth) is not int or depth < 0:
        raise CorruptEntry("the depth is not a number")
    if not isinstance(meta, dict):
        raise CorruptEntry("the meta is not an object")
    if not isinstance(label, str | None):
        raise CorruptEntry("the label is not a text")
    if type(revision) is not int or revision < 0:
        raise CorruptEntry("the revision is not a number")
    if not isinstance(render, str | None) or render not in _RENDERS:
        raise CorruptEntry("what is to bring the page is none of the renderers")
    return url, depth, _referrer(url, shared), meta, label, revision, render


def _is_of_the_web(url: str) -> bool:
    """Whether the URL is http or https: a writer to Redis must not make a browser read files."""
    match = _OF_THE_WEB.match(url)
    return match is not None and int(match[1] or 0) <= _LAST_PORT


def _referrer(url: str, shared: Any) -> str | None:
    if shared is None:
        return None
    if isinstance(shared, list) and [type(part) for part in shared] == [int, str]:
        length, rest = shared
        if 0 <= length <= len(url):
            return url[:length] + str(rest)
    raise CorruptEntry("the referrer is neither empty nor shared text")

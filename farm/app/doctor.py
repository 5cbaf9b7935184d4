"""Is this machine fit? Each check says what it found, and the remedy where that is not enough."""

import asyncio
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from farm.app.paths import DEFAULT_CRAWL
from farm.app.patience import short_patience_s
from farm.app.redis_url import redis_url
from farm.app.visit import visited
from farm.browser import sandbox
from farm.browser.engine import Engine, EngineParams
from farm.browser.find import find_browser
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.model.errors import FarmError
from farm.resources.memory_meter import machine_bytes
from farm.runtime.warden import Warden
from farm.settings.commands import DoctorSettings
from farm.settings.rooms import EMBEDDED

FDS_WANTED = 4096
MEMORY_WANTED = 2 * 2**30
ROOM_WANTED = 2**30
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict` is `ok`, `warning` or `error`; an error's `exit_code` becomes the command's."""

    subject: str
    verdict: str
    text: str
    exit_code: int = 0


async def examine(settings: DoctorSettings) -> AsyncIterator[Finding]:
    """Yield the findings one by one; the slow ones (a browser is really started) come first."""
    yield await _browser(settings)
    yield await _redis(settings)
    yield _memory()
    yield _files()
    for folder in (Path(tempfile.gettempdir()), Path("/dev/shm")):  # noqa: S108 - looked at, not written to
        if folder.is_dir():
            yield _room(folder)
    if settings.audit:
        yield await _audit(settings)


async def _audit(settings: DoctorSettings) -> Finding:
    """Prove the crawl's invariants; what does not hold is a bug of ours, and worth a report: a line each."""
    try:
        async with visited(settings) as (crawl, frontier):
            examined = await frontier.examine()
    except FarmError as error:
        return Finding("crawl", "error", str(error), error.exit_code)
    if examined.violations:
        said = "\n".join(f"      - {violation}" for violation in examined.violations)
        advice = "report these lines, with a copy of Redis's data; `farm run --fresh` starts it anew"
        return Finding("crawl", "error", f"{crawl.name} is inconsistent; {advice}:\n{said}", 1)
    if not examined.whole:
        return Finding(
            "crawl", "ok", f"{crawl.name} holds every invariant that can be seen while it is worked on"
        )
    return Finding("crawl", "ok", f"{crawl.name} holds every invariant")


async def _browser(settings: DoctorSettings) -> Finding:
    without = sandbox.why_without() if settings.sandbox else ""
    warden = Warden()
    folder = Path(tempfile.mkdtemp(prefix="farm-doctor-"))
    warden.folder(folder)
    try:
        binary = find_browser(settings.browser)
        params = EngineParams(binary, sandbox=settings.sandbox and not without)
        engine = Engine(1, params, folder, warden.kill)
        await engine.start()
        version = engine.user_agent.partition("Chrome/")[2].partition(" ")[0]
        await engine.close()
    except FarmError as error:
        return Finding("browser", "error", str(error), error.exit_code)
    finally:
        await asyncio.to_thread(warden.close)
    kind = "headless shell" if binary.headless_shell else "full Chromium"
    text = f"{binary.path} ({kind} {version}) starts"
    if not binary.headless_shell:
        return Finding("browser", "warning", f"{text}; chromium-headless-shell renders several times faster.")
    if without:
        return Finding("browser", "warning", f"{text}, without its sandbox: {without}.")
    return Finding("browser", "ok", f"{text}{'' if settings.sandbox else ', without its sandbox'}")


async def _redis(settings: DoctorSettings) -> Finding:
    if settings.redis != EMBEDDED:
        try:
            patience_s = short_patience_s(settings)
            client = await connect(redis_url(settings), first_patience_s=patience_s, patience_s=patience_s)
            try:
                await client.probe(settings.crawl or DEFAULT_CRAWL)
            finally:
                await client.close()
        except FarmError as error:
            return Finding("redis", "error", str(error), error.exit_code)
        place, warnings = client.place, client.warnings
        return Finding("redis", "warning", " ".join(warnings)) if warnings else Finding("redis", "ok", place)
    with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
        server = EmbeddedRedis(Path(folder))
        try:
            await server.start()
        except FarmError as error:
            return Finding("redis", "error", str(error), error.exit_code)
        await server.stop()
    return Finding("redis", "ok", "a private Redis starts")


def _memory() -> Finding:
    total = machine_bytes()
    text = f"{total / 2**30:.1f} GiB for the farm to budget"
    if total < MEMORY_WANTED:
        return Finding("memory", "warning", f"{text}; that is little, give --contexts 2 or fewer.")
    return Finding("memory", "ok", text)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FDS_WANTED:
        return Finding(
            "files", "warning", f"{soft} open files are allowed (at most {hard}); `ulimit -n 4096`."
        )
    return Finding("files", "ok", f"{soft} open files are allowed")


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free // MIB:,} MiB free in {folder}"
    if free < ROOM_WANTED and folder.name != "shm":
        return Finding("room", "warning", f"{text}; browsers' profiles need more, set TMPDIR.")
    shared = "; the browsers share memory by files in TMPDIR, not here" if folder.name == "shm" else ""
    return Finding("room", "ok", f"{text}{shared}")

"""Whether this machine can run the farm: each check reports what it found, and a remedy for what is missing."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from farm.app.access import CRAWLS, DEFAULT_CRAWL, PRIVATE, open_existing_crawl, redis_url, short_patience_s
from farm.app.preflight import preflight
from farm.browser import chromium
from farm.browser.chromium import find_browser
from farm.browser.engine import Engine, EngineParams
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.light.engine import LightEngine
from farm.light.program import ProgramParams, find_program
from farm.model.errors import (
    BrowserUnavailable,
    FarmError,
    FrontierUnavailable,
    NoSuchCrawl,
    OutputUnwritable,
    UsageError,
)
from farm.model.url import ANY_SUBDOMAIN
from farm.monitor.figures import size
from farm.policy.capacity import contexts_for_files, files_needed
from farm.resources.files import FolderLock, write_atomically
from farm.resources.installation import install_command
from farm.resources.memory import machine_bytes
from farm.resources.processes import allow_most_files
from farm.runtime.reaper import Reaper
from farm.scope.rules import ScopeKind, ScopeRules
from farm.scope.seeds import given_seeds
from farm.settings.commands import DoctorSettings, RunSettings, TableSettings
from farm.settings.load import load, load_keywords
from farm.settings.options import EMBEDDED
from farm.settings.origin import located
from farm.settings.sites import SiteTable
from farm.settings.stored import FOR_SEEDS, check_shared_settings

FDS_WANTED = 4096
MEMORY_WANTED = 2 * 2**30
ROOM_WANTED = 2**30
MIB = 2**20
PROBE_BYTES = 1 << 16
ANY_URL = "https://shop.example/"
"""The URL of a run that is only planned, if none is configured."""
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Check:
    """`verdict` is `ok`, `warning` or `error`; an error's `exit_code` becomes the command's."""

    subject: str
    verdict: str
    text: str
    exit_code: int = 0


async def examine(settings: DoctorSettings) -> AsyncIterator[Check]:
    """Yield the checks one by one, the slow ones first (a browser is started)."""
    yield await _browser(settings)
    yield await of_light_engine()
    yield await _redis(settings)
    if (tables := await _tables(settings)) is not None:
        yield tables
    if tables is None or tables.verdict != "error":
        for finding in of_a_run(settings):
            yield finding
    yield _memory()
    yield _files()
    for folder in (Path(tempfile.gettempdir()), Path("/dev/shm")):  # noqa: S108 - looked at, not written to
        if folder.is_dir():
            yield _room(folder)
    if settings.audit:
        yield await _audit(settings)


async def _audit(settings: DoctorSettings) -> Check:
    """Check the crawl's invariants; a violation is a bug of the farm, and is reported in a line."""
    try:
        async with open_existing_crawl(settings) as (crawl, frontier):
            examined = await frontier.examine()
    except FarmError as error:
        return Check("crawl", "error", str(error), error.exit_code)
    if examined.violations:
        said = "\n".join(f"      - {violation}" for violation in examined.violations)
        advice = "report these lines, with a copy of Redis's data; `farm run --fresh URL` starts it anew"
        return Check("crawl", "error", f"{crawl.name} is inconsistent; {advice}:\n{said}", 1)
    if not examined.whole:
        return Check(
            "crawl", "ok", f"{crawl.name} holds every invariant that can be seen while it is worked on"
        )
    return Check("crawl", "ok", f"{crawl.name} holds every invariant")


async def _tables(settings: DoctorSettings) -> Check | None:
    """Check the site tables of `farm.toml` for errors, and for tables without effect; None if there are none.

    The scope is that of the crawl that the settings name, else that of `farm.toml`.
    """
    try:
        given = load(TableSettings, (), "farm doctor", "")
        rules = await _scope_of(settings, given)
    except FarmError as error:
        return Check("tables", "error", str(error), error.exit_code)
    if not given.site:
        return None
    number = f"{len(given.site):,} table{'' if len(given.site) == 1 else 's'} of sites"
    if rules is None:
        return Check("tables", "ok", f"{number}; whether a crawl reaches them is seen with its --output")
    unused = [name for name, table in given.site.items() if not _is_reached(rules, name, table)]
    if not unused:
        return Check("tables", "ok", f"{number}, all of sites in scope")
    named = ", ".join(f'[site."{name}"]' for name in unused[:MOST_NAMED])
    more = f" and {len(unused) - MOST_NAMED:,} more" if len(unused) > MOST_NAMED else ""
    hosts = sorted(rules.hosts)
    scope = f"{rules.kind}: {', '.join(hosts[:MOST_NAMED])}{', ...' if len(hosts) > MOST_NAMED else ''}"
    return Check(
        "tables",
        "warning",
        f"no site in scope ({scope}) is covered by {named}{more}; correct the name, add a seed, or widen --scope.",
    )


def _is_reached(rules: ScopeRules, name: str, table: SiteTable) -> bool:
    # Headers go to the subdomains of a host as well.
    below = not name.startswith(ANY_SUBDOMAIN) and table.headers and rules.covers_name(ANY_SUBDOMAIN + name)
    return bool(below) or rules.covers_name(name)


async def _scope_of(settings: DoctorSettings, given: TableSettings) -> ScopeRules | None:
    """Return the scope of the named crawl, else of the seeds in `farm.toml`; None if there are none."""
    if settings.model_fields_set & {"output", "crawl", "redis"}:
        with contextlib.suppress(NoSuchCrawl, UsageError, FrontierUnavailable):
            async with open_existing_crawl(settings) as (crawl, frontier):
                check_shared_settings(crawl, frontier.place, *FOR_SEEDS)
                rules = ScopeRules(crawl.settings["scope"], ())
                for unit in await frontier.scope_sites():
                    rules.extend(unit)
                return rules if rules.hosts or rules.kind is ScopeKind.ANY else None
    if not given.urls and given.seeds in {None, "-"}:
        return None
    seeds, _ = given_seeds(
        given.urls, given.seeds, hash_routes=given.hash_routes, keep_params=given.keep_params
    )
    return ScopeRules(given.scope, [seed.url for seed in seeds])


def of_a_run(settings: DoctorSettings) -> Iterator[Check]:
    """Check whether a run would accept the settings of the environment and of `farm.toml`, and could write.

    It makes all checks that a run makes before it creates anything: options, packages, named files, sizes.
    """
    given = {
        name: getattr(settings, name) for name in settings.model_fields_set & RunSettings.model_fields.keys()
    }
    try:
        run = load_keywords(RunSettings, given)
        # Standard input is not the doctor's to read, and code of the user's is not run to look at it.
        spared = {"seeds": None if run.seeds == "-" else run.seeds, "app": None}
        plan = preflight(run.model_copy(update={**spared, "urls": run.urls or (ANY_URL,)}))
    except FarmError as error:
        yield Check("settings", "error", located(str(error), ()), error.exit_code)
        return
    for warning in plan.warnings:
        if "sandbox" not in warning:
            yield Check("settings", "warning", warning)
    fit = (
        f"a run would have {plan.contexts} contexts in {plan.engines} browsers and {size(plan.budget_bytes)}"
    )
    yield Check("settings", "ok", fit)
    # Without a URL the name of the folder is not known.
    yield _output(plan.output if run.urls or run.seeds or run.output or run.crawl else CRAWLS)


def _output(output: Path) -> Check:
    """Try to write and to lock in the output folder, or where it would be created."""
    there = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".farm-doctor-", dir=there) as folder:
            lock = FolderLock(Path(folder) / PRIVATE / "lock")
            lock.take()
            write_atomically(Path(folder) / "probe", bytes(PROBE_BYTES))
            lock.release()
    except (OSError, FarmError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        advice = "free some space, check its permissions, or choose another --output"
        return Check(
            "output", "error", f"{there} cannot be written to ({why}); {advice}.", OutputUnwritable.exit_code
        )
    free = shutil.disk_usage(there).free
    text = f"{free // MIB:,} MiB free for {output}"
    if free < ROOM_WANTED:
        return Check("output", "warning", f"{text}; free some space, or limit runs with --max-disk.")
    return Check("output", "ok", text)


async def _browser(settings: DoctorSettings) -> Check:
    without = chromium.why_without_sandbox() if settings.sandbox else ""
    reaper = Reaper()
    folder = Path(tempfile.mkdtemp(prefix="farm-doctor-"))
    reaper.folder(folder)
    try:
        binary = find_browser(settings.browser)
        params = EngineParams(binary, sandbox=settings.sandbox and not without)
        engine = Engine(1, params, folder, reaper.kill, reaper.free)
        await engine.start()
        version = engine.user_agent.partition("Chrome/")[2].partition(" ")[0]
        await engine.close()
    except FarmError as error:
        return Check("browser", "error", str(error), error.exit_code)
    finally:
        await asyncio.to_thread(reaper.close)
    kind = "headless shell" if binary.headless_shell else "full Chromium"
    text = f"{binary.path} ({kind} {version}) starts"
    if not binary.headless_shell:
        advice = "install chromium-headless-shell, which renders several times faster"
        return Check("browser", "warning", f"{text}; {advice}.")
    if without:
        return Check("browser", "warning", f"{text}, without its sandbox: {without}.")
    return Check("browser", "ok", f"{text}{'' if settings.sandbox else ', without its sandbox'}")


async def of_light_engine() -> Check:
    """Start the light engine, confined as a run has it; without it a run that asks for it is refused elsewhere."""
    try:
        program = find_program()
    except BrowserUnavailable:
        text = "the light engine is not installed; --render light needs it, and --render auto may use it: "
        return Check("light", "ok", f"{text}{install_command('light')}")
    reaper = Reaper()
    folder = Path(tempfile.mkdtemp(prefix="farm-doctor-"))
    reaper.folder(folder)
    engine = LightEngine(1, ProgramParams(program), folder, reaper.kill, reaper.free)
    try:
        await engine.start(())
    except BrowserUnavailable as error:
        return Check("light", "warning", str(error))
    finally:
        await engine.close()
        await asyncio.to_thread(reaper.close)
    return Check("light", "ok", f"{program} starts, confined")


async def _redis(settings: DoctorSettings) -> Check:
    if settings.redis != EMBEDDED:
        try:
            patience_s = short_patience_s(settings)
            client = await connect(redis_url(settings), first_patience_s=patience_s, patience_s=patience_s)
            try:
                await client.probe(settings.crawl or DEFAULT_CRAWL)
            finally:
                await client.close()
        except FarmError as error:
            return Check("redis", "error", str(error), error.exit_code)
        place, warnings = client.place, client.warnings
        return Check("redis", "warning", " ".join(warnings)) if warnings else Check("redis", "ok", place)
    with tempfile.TemporaryDirectory(prefix="farm-doctor-") as folder:
        server = EmbeddedRedis(Path(folder))
        try:
            await server.start()
        except FarmError as error:
            return Check("redis", "error", str(error), error.exit_code)
        await server.stop()
    return Check("redis", "ok", "a private Redis starts")


def _memory() -> Check:
    total = machine_bytes()
    text = f"{total / 2**30:.1f} GiB for the farm to budget"
    if total < MEMORY_WANTED:
        return Check("memory", "warning", f"{text}; that is little, give --contexts 2 or fewer.")
    return Check("memory", "ok", text)


def _files() -> Check:
    files = allow_most_files()
    if files < files_needed(1):
        text = f"{files} open files are allowed, and one context needs {files_needed(1)}"
        return Check("files", "error", f"{text}; `ulimit -n {FDS_WANTED}`.", UsageError.exit_code)
    text = f"{files} open files are allowed, enough for {contexts_for_files(files):,} contexts"
    if files < FDS_WANTED:
        return Check("files", "warning", f"{text}; for more `ulimit -n {FDS_WANTED}`.")
    return Check("files", "ok", text)


def _room(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{free // MIB:,} MiB free in {folder}"
    if free < ROOM_WANTED and folder.name != "shm":
        return Check("room", "warning", f"{text}; browsers' profiles need more, set TMPDIR.")
    shared = "; the browsers share memory by files in TMPDIR, not here" if folder.name == "shm" else ""
    return Check("room", "ok", f"{text}{shared}")

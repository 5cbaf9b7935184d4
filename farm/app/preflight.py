"""The plan of a run, from its settings: everything that can be wrong is found before anything is created."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from farm.app.access import (
    DEFAULT_CRAWL,
    PRIVATE,
    check_authorities,
    crawl_flags,
    crawl_folders,
    listed,
    output_folder,
    redis_url,
)
from farm.app.rendering import (
    CHEAP,
    Credentials,
    credentials,
    renderer_rules,
    run_browser,
    why_all_by_browser,
)
from farm.app.sizes import check_files, check_processes, check_sizes
from farm.browser.chromium import BrowserBinary
from farm.browser.consent import check_rules
from farm.browser.login import LoginFlow
from farm.egress import AllowedNetwork, Guard
from farm.egress.poster import HttpPoster
from farm.egress.proxy_file import ProxyFile
from farm.egress.webhook import WebhookClient, read_key
from farm.extract.declaration import Declaration
from farm.extract.declaration_file import read_declaration
from farm.extract.parser_pool import check_packages
from farm.light.program import find_program
from farm.model.errors import UsageError
from farm.model.url import origin_of
from farm.policy.capacity import (
    automatic_contexts,
    automatic_engines,
    contexts_for_files,
    first_contexts,
)
from farm.policy.proxies import depends_on_site
from farm.policy.renderers import RenderMode
from farm.resources.host_load import usable_cores
from farm.resources.memory import machine_bytes
from farm.resources.processes import allow_most_files
from farm.runtime.ports import PageHandling
from farm.runtime.record_stream import RecordStream
from farm.scope.rules import ScopeKind, ScopeRules
from farm.scope.seeds import Seed, given_seeds
from farm.settings import stored
from farm.settings.commands import RunSettings
from farm.settings.load import check_needs
from farm.settings.options import EMBEDDED
from farm.settings.origin import flags_of
from farm.settings.stored import DECLARATION, agreed_settings
from farm.sinks.address import check_sinks
from farm.sinks.written_paths import check_paths


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of a run; `agreed` are the settings that every node of the crawl must share."""

    settings: RunSettings
    crawl: str
    output: Path
    seeds: tuple[Seed, ...]
    agreed: Mapping[str, Any]
    guard: Guard
    binary: BrowserBinary | None
    """None if no page needs a browser."""
    sandbox: bool
    contexts: int
    engines: int
    budget_bytes: int
    warnings: tuple[str, ...]
    proxies: ProxyFile | None
    secrets: Credentials = field(default_factory=Credentials, repr=False)
    declaration: Declaration | None = None
    """The declaration of the pages' items."""
    handling: PageHandling | None = None
    """The user's code for pages."""
    handler_s: float | None = None
    """How long it may take for a page; None: as long as the page itself."""
    stream: RecordStream | None = None
    """A receiver of records besides the sinks."""
    notes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    """The origins of the seeds, those of earlier runs included: the headers are sent only to these."""
    processes: int = 1
    """Of this node; `contexts`, `engines` and `budget_bytes` are of all of them."""
    asked: frozenset[RenderMode] = frozenset()
    """By what seeds are to be brought, where they say it themselves."""
    only_requested: bool = False
    """Whether the browser renders only URLs that ask for it, and not those that plain HTTP is unfit for."""
    windowed: bool = False
    """Whether pages are shown in windows on the user's display."""
    is_temporary: bool = False
    """Whether the output folder is deleted with the run: no message names it, and standard error has no log."""

    @property
    def first_contexts(self) -> int | None:
        """The initial number of contexts of an automatic number; None if the user gave one."""
        return None if self.settings.contexts else -(-first_contexts(usable_cores()) // self.processes)

    @property
    def user_code_s(self) -> float:
        """How long the user's code may take for a page."""
        return self.settings.page_timeout if self.handler_s is None else self.handler_s

    @property
    def embedded(self) -> bool:
        """Whether the crawl has a private Redis in the output folder."""
        return self.settings.redis == EMBEDDED

    @property
    def private(self) -> Path:
        """The folder of the farm's own files in the output folder."""
        return self.output / PRIVATE

    @property
    def summary(self) -> Path:
        """The path of the run's summary."""
        return self.output / "summary.json"

    @property
    def where(self) -> str:
        """The flags that name the crawl to any command, ready for a shell; empty for a temporary folder."""
        return "" if self.is_temporary else crawl_flags(self.settings, self.crawl, self.output)


def preflight(
    settings: RunSettings,
    more_seeds: Iterable[str | Mapping[str, Any]] = (),
    handling: PageHandling | None = None,
    login: LoginFlow | None = None,
) -> RunPlan:
    """Check the settings and the machine; raises UsageError or BrowserUnavailable, and creates nothing.

    `more_seeds` are added to those in the settings, each as a URL or as an object of a seeds file; `handling` is
    the user's code for pages, `login` that for a login.
    """
    seeds, warnings = given_seeds(
        chain(settings.urls, more_seeds),
        settings.seeds,
        hash_routes=settings.hash_routes,
        keep_params=settings.keep_params,
    )
    output, crawl = output_folder(settings, seeds), settings.crawl or DEFAULT_CRAWL
    flags = flags_of(settings.model_fields_set)
    settings, taken_up, origins = stored.take_up(settings, output / PRIVATE, crawl, agreed_settings(settings))
    check_needs(settings, flags)
    if settings.ca_file is not None:
        check_authorities("--ca-file", settings.ca_file)
    if settings.redis != EMBEDDED:
        redis_url(settings)
    if settings.app is not None and handling is None:
        raise UsageError(
            f"This crawl was created with the handlers of --app {settings.app}; give it again, or --app none (in "
            'Python follow="scope") to continue without.'
        )
    secrets = credentials(settings, login)
    check_sinks(settings.sink, have_items=settings.extract is not None or handling is not None)
    check_paths(settings.sink, output)
    _check_effect(settings, flags, follows=handling is not None)
    declaration = read_declaration(settings.extract) if settings.extract is not None else None
    _check_packages(settings)
    ScopeRules(settings.scope, (), settings.include, settings.exclude)
    guard = Guard([AllowedNetwork.parse(text) for text in settings.allow_network])
    if not seeds and settings.redis == EMBEDDED and not (output / PRIVATE / "redis").is_dir():
        there = crawl_folders() if settings.output is None else []
        named = f": {listed(there)}" if there else ""
        raise UsageError(
            f"There is no URL to start from and no crawl in {output}; give a URL, or the --output of a crawl"
            f"{named}."
        )
    proxies = None
    if settings.proxy_rate is not None and depends_on_site(settings.proxy_rotation):
        # Which proxy a visit goes by is known only when its site is: too late to wait for the proxy's turn.
        raise UsageError("--proxy-rate does not go with --proxy-rotation site; take context or page.")
    if settings.proxies is not None:
        proxies = ProxyFile(settings.proxies)
        proxies.read()
        warnings += tuple(f"{proxies.path}, {bad}" for bad in proxies.bad)
    asked = frozenset(RenderMode(seed.render) for seed in seeds if seed.render is not None)
    is_joining = not seeds and "render" not in settings.model_fields_set
    browser = run_browser(settings, asked, may_ask=handling is not None, is_required=not is_joining)
    check_renderers(settings, asked, declaration)
    is_cheap = {*CHEAP} >= {mode.renderer for mode in renderer_rules(settings, asked).modes}
    budget = check_sizes(settings.memory, machine_bytes(), settings.contexts, is_cheap=is_cheap)
    files = allow_most_files()
    contexts = settings.contexts or min(automatic_contexts(budget, usable_cores()), contexts_for_files(files))
    processes = check_processes(settings.processes, contexts, budget)
    check_files(contexts, processes, files)
    engines = min(contexts, max(processes, settings.engines or automatic_engines(contexts)))
    if (settings.engines or 0) > contexts:
        warnings += (
            f"{engines} browsers are started, not the {settings.engines} of --engines: one for each context.",
        )
    warnings += (*browser.warnings, *_consequences(settings))
    return RunPlan(
        settings=settings,
        crawl=crawl,
        output=output,
        seeds=seeds,
        agreed={
            **agreed_settings(settings),
            **({DECLARATION: declaration.stored()} if declaration else {}),
            **({"with_login": True} if secrets.login else {}),
        },
        guard=guard,
        binary=browser.binary,
        sandbox=browser.sandbox,
        contexts=contexts,
        processes=processes,
        engines=engines,
        budget_bytes=budget,
        warnings=warnings,
        proxies=proxies,
        secrets=secrets,
        declaration=declaration,
        handling=handling,
        notes=(taken_up,) if taken_up else (),
        origins=tuple(dict.fromkeys([*origins, *(f"{origin_of(seed.url)}/" for seed in seeds)])),
        asked=asked,
        only_requested=browser.only_requested,
    )


def check_renderers(
    settings: RunSettings, asked: frozenset[RenderMode], declaration: Declaration | None
) -> None:
    """Raise where a renderer is not installed, or cannot bring what is to be extracted."""
    modes = renderer_rules(settings, asked).modes
    if declaration is not None and declaration.captures and RenderMode.FETCH in modes:
        raise UsageError(
            "--extract reads what scripts have fetched (capture), which pages by --render fetch do without; leave "
            "one out."
        )
    if RenderMode.LIGHT in modes:
        find_program()


def _consequences(settings: RunSettings) -> tuple[str, ...]:
    """Return warnings about consequences of the settings that a user may not expect."""
    insecure = ("Certificates are not checked (--insecure).",) if settings.insecure else ()
    flag = why_all_by_browser(settings)
    by_browser = (f"--render auto leaves every page to the browser, which {flag} needs.",) if flag else ()
    return (*insecure, *by_browser)


def _check_packages(settings: RunSettings) -> None:
    """Raise UsageError for a setting whose package is not installed."""
    check_packages(markdown=settings.markdown, main_text=settings.main_text)
    if settings.consent != "off":
        check_rules()


def _check_effect(settings: RunSettings, flags: Collection[str], *, follows: bool) -> None:
    """Raise UsageError for a flag that has no effect beside the other settings.

    Handlers that follow links do so in every scope.
    """
    if "warc_all" in flags and settings.warc_all and all(sink.kind != "warc" for sink in settings.sink):
        raise UsageError(
            "--warc-all has no effect without --sink warc:DIR; give --sink warc:DIR too, or leave it out."
        )
    if settings.webhook is not None and settings.webhook_secret_file is not None:
        WebhookClient(settings.webhook, read_key(settings.webhook_secret_file))
    if settings.otlp is not None:
        HttpPoster("--otlp", settings.otlp)
    if settings.depth and "depth" in flags and settings.scope is ScopeKind.PAGE and not follows:
        raise UsageError(
            "--depth has no effect with --scope page, which follows no links; leave one of them out."
        )

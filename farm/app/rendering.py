"""The parameters of rendering, from the settings: errors are found before anything is started."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from farm import __version__
from farm.browser import chromium
from farm.browser.acting import ActParams
from farm.browser.chromium import BrowserBinary, find_browser
from farm.browser.context import SlotParams
from farm.browser.intercept import InterceptParams, blocked_urls
from farm.browser.login import LoginFlow, read_login
from farm.browser.pictures import PictureParams
from farm.browser.render import RenderParams
from farm.browser.responses import CaptureParams
from farm.browser.site_params import (
    SiteRules,
    State,
    header_params,
    loads_images,
    longest_first,
    own_params,
    read_headers,
    read_state,
    renders,
    secret_values,
    site_header_params,
    state_of_site,
    waiting,
)
from farm.browser.tab import StateFor, TabParams
from farm.detect.page_features import MARKUP_CHARS, TEXT_CHARS
from farm.extract.declaration import Declaration
from farm.model.errors import BrowserUnavailable, UsageError
from farm.model.page import CaptureRule, Renderer
from farm.model.secret import without_secrets
from farm.model.url import HashRoutes
from farm.policy.recycle import RecycleParams
from farm.policy.renderers import RendererRules, RenderMode, SiteRenderers
from farm.scope.rules import registrable_domain
from farm.settings.commands import RunSettings
from farm.settings.units import is_timezone

CHEAP = (Renderer.FETCH, Renderer.LIGHT)
"""The renderers that `--render auto` may use beside the browser, the cheapest first."""
BY_BROWSER_ALONE = ("screenshot", "pdf", "click", "scroll", "har", "capture", "download", "warc_all")
WARC_BODY_BYTES = 32 * 2**20
"""Bytes of a visit's documents that are kept for a WARC file."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The user's secrets: request headers, and a storage state in Playwright's format."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    site_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The headers of the site tables, by the tables' names."""
    state: State | None = field(default=None, repr=False)
    login: LoginFlow | None = None


def credentials(settings: RunSettings, login: LoginFlow | None = None) -> Credentials:
    """Read headers, storage state and login; raises UsageError, which never repeats a value.

    `login` is that of the user's code.
    """
    zone = settings.timezone
    if zone is not None and not is_timezone(zone):
        raise UsageError(f"--timezone {zone} is not a time zone; write a name such as Europe/Berlin or UTC.")
    headers = read_headers("--header", settings.header)
    own = {
        name: read_headers(f'farm.toml, [site."{name}"]: headers', table.headers)
        for name, table in settings.site.items()
        if table.headers
    }
    state = read_state(settings.storage_state) if settings.storage_state is not None else None
    if login is not None and (settings.login is not None or settings.render is not RenderMode.BROWSER):
        raise UsageError("@farm.login goes neither with --login nor with another --render than browser.")
    declared = credentials_of_login(settings.login, settings.logged_in)
    return Credentials(headers, own, state, login or declared)


def credentials_of_login(path: Path | None, logged_in: str | None) -> LoginFlow | None:
    """Return the login of a file; None if there is none. Raises UsageError, which never repeats a value."""
    return read_login(path, logged_in, registrable_domain) if path is not None else None


def renderer_rules(settings: RunSettings, asked: frozenset[RenderMode] = frozenset()) -> RendererRules:
    """Return by what each page is brought; `asked` is what seeds ask for."""
    sites = {
        name: SiteRenderers(table.render, [(rule.match, rule.render) for rule in table.page if rule.render])
        for name, table in settings.site.items()
        if table.render or any(rule.render for rule in table.page)
    }
    # What needs a browser on every page leaves nothing to choose.
    return RendererRules(settings.render, sites, () if _by_browser_alone(settings) else CHEAP, asked)


def needs_browser(settings: RunSettings, asked: frozenset[RenderMode] = frozenset()) -> bool:
    """Return whether a browser may be started. Raises UsageError if what is asked for needs another renderer.

    The browser renders the pages that the light engine gives up.
    """
    rules = renderer_rules(settings, asked)
    if RenderMode.FETCH in rules.modes:
        for_browser = _by_browser_alone(settings)
        for_browser += ["wait css:"] * settings.wait.startswith("css:")
        if for_browser:
            flag = for_browser[0].replace("_", "-")
            raise UsageError(
                f"--{flag} needs a browser, which pages by --render fetch do without; leave one out."
            )
    return rules.named != {Renderer.FETCH}


@dataclass(frozen=True, slots=True)
class RunBrowser:
    """The browser of a run; `binary` is None if no page can have one.

    With `only_requested` it renders only URLs that ask for it. `warnings` say why it has no sandbox.
    """

    binary: BrowserBinary | None = None
    sandbox: bool = False
    only_requested: bool = False
    warnings: tuple[str, ...] = ()


def run_browser(
    settings: RunSettings, asked: frozenset[RenderMode], *, may_ask: bool, is_required: bool = True
) -> RunBrowser:
    """Return the browser of a run, which is started when a page needs it.

    `may_ask` says that the user's code may follow links that ask for a browser where no other page needs one.
    Raises BrowserUnavailable if there is none and it `is_required`.
    """
    is_needed = needs_browser(settings, asked)
    if not (is_needed or may_ask):
        return RunBrowser()
    try:
        binary = find_browser(settings.browser)
    except BrowserUnavailable:
        if is_needed and is_required:
            raise
        return RunBrowser()
    without = chromium.why_without_sandbox() if settings.sandbox else ""
    said = f"Chromium's sandbox is off, because {without}, or accept it with --no-sandbox."
    is_sandboxed = settings.sandbox and not without
    return RunBrowser(binary, is_sandboxed, not is_needed, (said,) if without else ())


def why_all_by_browser(settings: RunSettings) -> str:
    """Return the flag that makes `--render auto` leave every page to the browser; empty if there is none."""
    asked = _by_browser_alone(settings) if RenderMode.AUTO in renderer_rules(settings).modes else ()
    return f"--{asked[0].replace('_', '-')}" if asked else ""


def _by_browser_alone(settings: RunSettings) -> list[str]:
    """Return the names of the given options that need a browser on every page."""
    asked = [name for name in BY_BROWSER_ALONE if getattr(settings, name)]
    return asked + ["login"] * (settings.login is not None) + ["consent"] * (settings.consent != "off")


def slot_params(
    settings: RunSettings,
    secrets: Credentials,
    seeds: Iterable[str],
    machine_bytes: int,
    hash_routes: HashRoutes = HashRoutes.OFF,
    declaration: Declaration | None = None,
    *,
    whole_html: bool = False,
    login_state: StateFor | None = None,
) -> SlotParams:
    """Return the common parameters of all slots; `seeds` are their URLs, `hash_routes` is the crawl's.

    Answers that a `declaration` of items reads are captured in addition to those of the settings.
    `whole_html` says that the HTML is needed even if it is not kept; `login_state` returns the state after a login
    for the site of a URL.
    """
    rules = {
        name: SiteRules(
            table.wait or "", table.block, tuple((rule.match, rule.wait) for rule in table.page if rule.wait)
        )
        for name, table in settings.site.items()
    }
    images = loads_images(settings.block, rules)
    every_page = RenderParams(
        page_timeout_s=settings.page_timeout,
        settle_timeout_s=settings.settle_timeout,
        act=ActParams(settings.click, settings.click_times, settings.scroll),
        pictures=PictureParams(settings.screenshot, settings.pdf),
        consent=settings.consent if settings.consent != "off" else None,
        # With `on` every such link is a page, whatever its script does.
        find_router=hash_routes is not HashRoutes.ON,
        list_images=settings.images,
        logged_in=secrets.login.logged_in if secrets.login is not None else "",
    )
    needs_html = declaration is not None and declaration.needs_html
    if not (whole_html or settings.html or settings.markdown or settings.main_text or needs_html):
        # It serves to recognise blocks and duplicates alone, by what a short page begins with. The browser counts
        # characters beyond U+FFFF twice.
        every_page = replace(every_page, html_of_text=2 * TEXT_CHARS, html_cap=MARKUP_CHARS)
    render = waiting(every_page, settings.wait)
    own_headers = site_header_params(secrets.site_headers, seeds)
    held = header_params(secrets.headers, seeds)
    has_warc = any(sink.kind == "warc" for sink in settings.sink)
    declared = declaration.captures if declaration is not None else ()
    capture = CaptureParams(
        tuple(map(CaptureRule.parse, (*settings.capture, *declared))),
        har=settings.har,
        exchanges=settings.warc_all and has_warc,
    )
    if settings.capture_max is not None:
        body_bytes = settings.capture_max.of(machine_bytes)
        capture = replace(capture, body_bytes=body_bytes, all_bytes=max(capture.all_bytes, body_bytes))
    file_bytes = settings.max_download.of(machine_bytes) if settings.download else 0
    body_bytes = WARC_BODY_BYTES if has_warc else 0
    return SlotParams(
        TabParams(
            viewport=settings.viewport,
            user_agent=settings.user_agent,
            user_agent_suffix=f" CrawlFarm/{__version__}",
            blocked_urls=blocked_urls(settings.block, images=images),
            images=images,
            insecure=settings.insecure,
            locale=settings.locale,
            timezone=settings.timezone,
            intercept=InterceptParams(held.headers, held.patterns, held.may_see, file_bytes, body_bytes),
            capture=capture,
            state_for=_state_for(secrets.state, login_state),
            own_for=own_params(rules, own_headers, images=images),
        ),
        render,
        RecycleParams(pages=settings.recycle_pages, per_url=settings.isolation == "url"),
        renders(rules, render),
        secret_texts(secrets) if settings.snapshots else (),
    )


def _state_for(state: State | None, login_state: StateFor | None) -> StateFor | None:
    """Return the function that returns a context's state: that of a login, else the user's part for the site."""
    given = state_of_site(state, registrable_domain) if state is not None else None
    if login_state is None or given is None:
        return login_state or given
    return lambda url: login_state(url) or given(url)


def masking(secrets: Credentials, login_state: StateFor | None) -> Callable[[str], str]:
    """Return the function that masks the secrets in HTML, with those that a login has brought until then."""
    given, login = secret_texts(secrets), secrets.login

    def masked(html: str) -> str:
        state = login_state(login.url) if login_state is not None and login is not None else None
        return without_secrets(html, longest_first({*given, *secret_values(state or {})}))

    return masked


def secret_texts(secrets: Credentials) -> tuple[str, ...]:
    """Return the texts to mask in snapshots, the longest first: values of headers, cookies and local storage.

    Very short values are left out: they occur in any page.
    """
    headers = [
        *secrets.headers.values(),
        *(value for own in secrets.site_headers.values() for value in own.values()),
    ]
    # Of `Bearer TOKEN` a page may show the second part alone.
    found = {part for value in headers for part in (value, value.rpartition(" ")[2])}
    if secrets.login is not None:
        found |= {secrets.login.secret.reveal(), *(step.value.reveal() for step in secrets.login.steps)}
    if secrets.state is not None:
        found |= secret_values(secrets.state)
    return longest_first(found)

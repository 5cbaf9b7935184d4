"""The user's functions: which page each is for, and how they are called. Implements the port `PageHandling`."""

import fnmatch
import inspect
import re
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from farm.api.loading import digest_of, load_attribute
from farm.api.login import LoginFunction, LoginHook, login_by
from farm.api.page import Page, PageVerdict
from farm.browser.login import LoginFlow
from farm.model.errors import UsageError
from farm.model.handling import DeadPage, PageHandled, VisitedPage
from farm.model.url import path_of
from farm.scope.seeds import MAX_LABEL
from farm.sinks.summary import Summary

PageFunction = Callable[[Page], Awaitable[None]]
DeadFunction = Callable[[DeadPage], Awaitable[None]]
EndFunction = Callable[[Summary], Awaitable[None]]
F = TypeVar("F", bound=PageFunction)
D = TypeVar("D", bound=DeadFunction)
E = TypeVar("E", bound=EndFunction)
L = TypeVar("L", bound=LoginFunction)
NO_PATTERN = '@farm.page takes a pattern or a label; write @farm.page("/product/*").'
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Route:
    """A function for the pages whose path a glob matches, or in whose URL a pattern is found."""

    function: PageFunction
    glob: re.Pattern[str] | None = None
    pattern: re.Pattern[str] | None = None

    def matches(self, url: str) -> bool:
        """Return whether it is for a canonical URL."""
        if self.pattern is not None:
            return self.pattern.search(url) is not None
        return self.glob is None or self.glob.match(path_of(url)) is not None


class Handlers:
    """The functions of one `Farm`, in the order of their declaration."""

    def __init__(self, *, follows_scope: bool) -> None:
        self.app: str | None = None
        """The name by which another process finds them."""
        self.wants_scope = follows_scope
        """Whether the user has asked that links in scope are followed."""
        self._routes: list[Route] = []
        self._labelled: dict[str, PageFunction] = {}
        self._default: PageFunction | None = None
        self._before: list[PageFunction] = []
        self._after: list[PageFunction] = []
        self._on_dead: list[DeadFunction] = []
        self._on_finished: list[EndFunction] = []
        self._labels: frozenset[str] = frozenset()
        self.login: LoginFlow | None = None
        """The user's login to a site."""
        self._stops: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        """Whether there is a function to call."""
        return bool(self._functions)

    @property
    def _functions(self) -> list[Callable[..., Awaitable[None]]]:
        default = [self._default] if self._default is not None else []
        routed = [route.function for route in self._routes]
        hook = self.login.code if self.login is not None else None
        logs_in = [hook.function] if isinstance(hook, LoginHook) else []
        hooks: list[Callable[..., Awaitable[None]]] = [*self._before, *self._after, *self._on_dead, *logs_in]
        return [*routed, *self._labelled.values(), *default, *hooks]

    @property
    def digest(self) -> str:
        """A digest to compare the code of two nodes: that of the modules that define the functions."""
        return digest_of(self._functions)

    def __reduce__(self) -> tuple[Callable[[str], "Handlers"], tuple[str]]:
        """Return a reference by which another process of the node imports them: functions are not pickled."""
        if self.app is None:
            raise UsageError(
                "Several processes need the handlers in a module that each imports; run them by `farm run --app "
                "MODULE:NAME --processes N`."
            )
        return handlers_of, (self.app,)

    @property
    def follows_scope(self) -> bool:
        """Whether links in scope are followed automatically: also if only hooks are declared."""
        return self.wants_scope or not (self._routes or self._labelled or self._default)

    @property
    def handles_pages(self) -> bool:
        """Whether there is a handler, or a hook that is called with each page."""
        return bool(self._routes or self._labelled or self._default or self._before or self._after)

    @property
    def runs_before(self) -> bool:
        """Whether there is a hook for before a navigation."""
        return bool(self._before)

    def add(self, function: PageFunction, pattern: str | re.Pattern[str] | None, label: str | None) -> None:
        """Declare a function for pages. Raises UsageError for an invalid pattern or label."""
        _check(function)
        if (pattern is None) == (label is None):
            raise UsageError(NO_PATTERN)
        if label is not None:
            if not label or len(label) > MAX_LABEL or label in self._labelled:
                raise UsageError(
                    f"@farm.page(label={label[:80]!r}): write a label of 1 to {MAX_LABEL} characters, each once."
                )
            self._labelled[label] = function
            self._labels = frozenset(self._labelled)
        elif isinstance(pattern, str):
            if not pattern.startswith(("/", "*")):
                raise UsageError(f"@farm.page({pattern!r}): write the path of a URL, such as /product/*.")
            if "?" in pattern:
                raise UsageError(
                    f"@farm.page({pattern!r}): a path has no query; write a compiled expression for it, such as "
                    're.compile(r"[?&]page=").'
                )
            # Its translation never tries again what a `*` has taken: addresses are as long as a site likes.
            glob = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
            self._routes.append(Route(function, glob=glob))
        else:
            self._routes.append(Route(function, pattern=pattern))

    def set_default(self, function: PageFunction) -> None:
        """Declare the function for pages without another one. Raises UsageError for a second one."""
        _check(function)
        if self._default is not None:
            raise UsageError("@farm.default is there already; a Farm has one.")
        self._default = function

    def add_before(self, function: PageFunction) -> None:
        """Declare a hook before each navigation."""
        _check(function)
        self._before.append(function)

    def add_after(self, function: PageFunction) -> None:
        """Declare a hook for each settled page, before its handler."""
        _check(function)
        self._after.append(function)

    def add_on_dead(self, function: DeadFunction) -> None:
        """Declare a hook for each URL that is given up."""
        _check(function)
        self._on_dead.append(function)

    def add_on_finished(self, function: EndFunction) -> None:
        """Declare a hook for the end of a run, which gets the summary."""
        _check(function)
        self._on_finished.append(function)

    def set_login(self, function: LoginFunction, url: str, logged_in: str, secret: str) -> None:
        """Declare the login. Raises UsageError for a second one, and for invalid arguments."""
        _check(function)
        if self.login is not None:
            raise UsageError("@farm.login is there already; a Farm has one.")
        self.login = login_by(LoginHook(function, lambda: self.app), url, logged_in, secret)

    @property
    def runs_on_dead(self) -> bool:
        """Whether there is a hook for URLs that are given up."""
        return bool(self._on_dead)

    @contextmanager
    def running(self, stop: Callable[[], None]) -> Generator[None, None, None]:
        """Have `stop` call this function for as long as the context is open."""
        self._stops.append(stop)
        try:
            yield
        finally:
            self._stops.remove(stop)

    def stop(self) -> None:
        """End the runs in this process that use the functions; may be called from any thread."""
        for stop in tuple(self._stops):
            stop()

    async def dead(self, page: DeadPage) -> PageHandled:
        """Call the hooks for a URL that was given up."""
        for function in self._on_dead:
            await function(page)
        return PageHandled()

    async def finished(self, summary: Summary) -> None:
        """Call the hooks for the end of a run. Raises their exceptions."""
        for function in self._on_finished:
            await function(summary)

    async def before(self, visited: VisitedPage) -> PageHandled:
        """Call the hooks for before a navigation. Raises ValueError for links that would be lost."""
        handled = await self._called(self._before, Page(visited, self._labels))
        if handled.links and handled.verdict is None:
            raise ValueError(
                "links that are followed before the navigation need page.skip(...); use a handler"
            )
        return handled

    async def handle(self, visited: VisitedPage) -> PageHandled:
        """Call the hooks for a settled page, and the function for it."""
        function = self._function_for(visited)
        return await self._called(
            [*self._after, *([function] if function is not None else [])], Page(visited, self._labels)
        )

    def _function_for(self, visited: VisitedPage) -> PageFunction | None:
        """Return the function for a page; None for an error page or a block."""
        detection, task = visited.detection, visited.lease.task
        status = visited.page.status if visited.page is not None else 0
        if status >= _REFUSED or (detection is not None and detection.blocks):
            return None
        if task.label:
            if task.label not in self._labelled:
                raise LookupError(f"no handler has the label {task.label!r}, by which this page was followed")
            return self._labelled[task.label]
        return next(
            (route.function for route in self._routes if route.matches(task.url)),
            self._default,
        )

    async def _called(
        self, functions: Sequence[Callable[[Page], Awaitable[object]]], page: Page
    ) -> PageHandled:
        try:
            for function in functions:
                returned = await function(page)
                if returned is not None and not isinstance(returned, int):
                    # A number is what `page.follow` returns. Anything else would be lost without a word.
                    kind = type(returned).__name__
                    raise TypeError(
                        f"a handler returned a value of the type {kind}; give it to page.emit(...)"
                    )
        except PageVerdict:
            pass
        except BaseExceptionGroup as group:
            # A verdict in a task of a TaskGroup.
            if group.split(PageVerdict)[1] is not None:
                raise
        return page.handled()


def handlers_of(app: str) -> Handlers:
    """Return the handlers of the Farm that `MODULE:NAME` names. Raises UsageError if it is none."""
    found: object = getattr(load_attribute(app), "handlers", None)
    if not isinstance(found, Handlers):
        raise UsageError(f"--app {app}: it is not a Farm; name the object that `Farm()` has made.")
    found.app = app
    return found


def _check(function: Callable[..., Awaitable[None]]) -> None:
    name = getattr(function, "__name__", str(function))
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{name} yields, which a handler does not; keep an item by page.emit(...), follow a link by "
            "page.follow(...)."
        )
    if not inspect.iscoroutinefunction(function):
        raise UsageError(f"{name} is not a coroutine function; write `async def {name}`.")

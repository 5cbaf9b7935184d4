"""What handlers and hooks say in less usual ways is not lost, and is not taken for a failure."""

import asyncio
import runpy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import RootModel

from farm import Page
from farm.api.handlers import Handlers
from farm.api.loading import digest_of
from farm.model.errors import UsageError
from farm.model.handling import PageHandled, PageSkipped, VisitedPage
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask

Code = Callable[[Page], Awaitable[None]]


class Numbers(RootModel[list[int]]):
    """A model that is a list."""


async def _no_browser() -> None:
    raise AssertionError("nobody asks for it")


def visited(*, is_before: bool = False) -> VisitedPage:
    """Return a visit, before its navigation or of a settled page."""
    task = UrlTask("http://a.example/", "a.example", "1")
    page = None if is_before else RenderedPage(task.url, 200, {}, "text/html", html="<a href=/b>B</a>")
    return VisitedPage(Lease(task, "node/01", 1), page, None, _no_browser)


async def before(code: Code) -> PageHandled:
    """Run it as a hook before the navigation."""
    handlers = Handlers(follows_scope=False)
    handlers.add_before(code)
    return await handlers.before(visited(is_before=True))


async def handled(code: Code) -> PageHandled:
    """Run it as the handler of a page."""
    handlers = Handlers(follows_scope=False)
    handlers.set_default(code)
    return await handlers.handle(visited())


async def test_nothing_is_lost_before_the_navigation() -> None:
    """There is no record that an item could be kept with; a link counts where the page is left out for it."""

    async def emits(page: Page) -> None:
        page.emit({"a": 1})

    async def follows(page: Page) -> None:
        page.follow("/b")

    async def leads_on(page: Page) -> None:
        page.follow("/b")
        page.skip("the other one")

    with pytest.raises(RuntimeError, match="emit the item in a handler"):
        await before(emits)
    with pytest.raises(ValueError, match=r"need page\.skip"):
        await before(follows)
    done = await before(leads_on)
    assert ([one.url for one in done.links], done.verdict) == (
        ["http://a.example/b"],
        PageSkipped("the other one"),
    )


async def test_a_verdict_in_a_group_of_tasks_is_one() -> None:
    """And no failure, unless something else has failed there too."""

    async def skip(page: Page) -> None:
        page.skip("sold out")

    async def fail() -> None:
        raise RuntimeError("no such luck")

    async def skipping(page: Page) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(skip(page))

    async def failing(page: Page) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(skip(page))
            tasks.create_task(fail())

    assert (await handled(skipping)).verdict == PageSkipped("sold out")
    with pytest.raises(BaseExceptionGroup, match="unhandled errors in a TaskGroup"):
        await handled(failing)


async def test_a_model_without_fields_is_no_item() -> None:
    """Its class is named."""

    async def emits(page: Page) -> None:
        page.emit(Numbers([1, 2]))

    with pytest.raises(TypeError, match="an item has fields with names"):
        await handled(emits)


def test_a_query_in_a_glob_would_never_match() -> None:
    """It is refused where it is declared."""

    async def paged(page: Page) -> None:
        """Do nothing."""

    with pytest.raises(UsageError, match="a path has no query; write a compiled expression"):
        Handlers(follows_scope=False).add(paged, "/search?q=*", None)


def test_two_modules_of_one_name_both_count(tmp_path: Path) -> None:
    """A change in either of them makes other code."""
    paths = [tmp_path / folder / "handlers.py" for folder in ("a", "b")]

    def digest(*sources: str) -> str:
        functions: list[Any] = []
        for path, source in zip(paths, sources, strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
            functions.append(runpy.run_path(str(path))["read"])
        return digest_of(functions)

    first, second = ("async def read(page): return None\n", "async def read(page): return 1\n")
    assert len({digest(first, first), digest(first, second), digest(second, second)}) == 3
    assert digest(first, second) == digest(second, first)

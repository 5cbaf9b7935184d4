"""Handlers whose cost is measured: one that does nothing, and one that asks for the live page.

    python -m bench.against --with "--app bench.handlers:empty"
    python -m bench.against --with "--app bench.handlers:live"

Links are followed as without handlers, so that the pages are the same.
"""

from farm import Farm, Page

empty = Farm(follow="scope")
live = Farm(follow="scope")


@empty.default
async def do_nothing(page: Page) -> None:
    """Cost what a handler costs by itself."""


@live.default
async def ask(page: Page) -> None:
    """Have the browser's page, and read one thing of it."""
    await (await page.live()).title()

"""Turns of the event loop: no time passes in them, and nothing is waited for."""

import asyncio


async def turns(count: int = 1) -> None:
    """Let all that is ready run, so many times over: what was begun is a step further after each."""
    for _ in range(count):
        await asyncio.sleep(0)

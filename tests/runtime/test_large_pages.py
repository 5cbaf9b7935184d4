"""Pages of large HTML, which handlers have only so much of at once."""

import asyncio

from farm.model.handling import PageHandled
from farm.model.outcome import Ack, Release
from farm.runtime.user_code import LARGE_CHARS, TREE_BYTES, LargePages, UserCode
from tests.runtime.test_user_code import FakeHandling, says
from tests.runtime.visit_fakes import Bench, lease, page, worked


async def test_large_pages_wait_for_each_other_in_their_order() -> None:
    """Together they are no larger than the bound, one that is larger is alone, and small ones go first."""
    large, most = LargePages(4 * LARGE_CHARS * TREE_BYTES), 4 * LARGE_CHARS
    begun: list[int] = []
    ends: dict[int, asyncio.Event] = {}
    sizes = [3 * LARGE_CHARS, 2 * LARGE_CHARS, LARGE_CHARS, LARGE_CHARS - 1, 9 * LARGE_CHARS, LARGE_CHARS]

    async def have(number: int) -> None:
        async with large.turn(sizes[number], 60.0):
            begun.append(number)
            await ends[number].wait()

    tasks = []
    for number in range(len(sizes)):
        ends[number] = asyncio.Event()
        tasks.append(asyncio.create_task(have(number)))
    seen = []
    for end in (0, 1, 2, 4, 3, 5):
        while True:
            before = len(begun)
            for _ in range(5):
                await asyncio.sleep(0)
            if len(begun) == before:
                break
        at_work = [number for number in begun if not tasks[number].done() and sizes[number] >= LARGE_CHARS]
        assert sum(min(most, sizes[number]) for number in at_work) <= most
        seen.append(sorted(begun))
        ends[end].set()
        await tasks[end]
    assert seen == [
        [0, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
    ]


async def test_a_large_page_without_a_turn_is_given_back() -> None:
    """It is no fault of its URL, which has its turn later."""
    code = UserCode(FakeHandling(says(PageHandled())), 0.01, 2 * LARGE_CHARS * TREE_BYTES)

    async def settled() -> object:
        visiting = Bench(lease(), user_code=code)
        visiting.slot.pages = [page(html="x" * LARGE_CHARS)]
        ((_, settlement),) = (await worked(visiting)).frontier.settled
        return settlement

    async with code._large.turn(LARGE_CHARS, 1.0), code._large.turn(LARGE_CHARS, 1.0):
        given_back = await settled()
        assert isinstance(given_back, Release)
        assert "too many large pages at once" in given_back.reason
    assert isinstance(await settled(), Ack)

"""Pages that wait for their turn: whole, in bounded memory, and without a trace."""

import os
import resource
from contextlib import closing
from pathlib import Path

import pytest

from farm.api.early_pages import EarlyPages
from farm.model.errors import OutputUnwritable
from farm.model.handling import DeadPage

PAGES = {f"http://a.example/{i}": {"url": f"http://a.example/{i}", "text": "é" * 100 * i} for i in range(20)}
DEAD = DeadPage("http://a.example/dead", "network", "why", 1)


async def test_a_page_comes_back_as_it_was(tmp_path: Path) -> None:
    """In any order; what is not there is none."""
    with closing(EarlyPages(tmp_path, 2)) as early:
        for url, page in PAGES.items():
            await early.put(url, page)
        await early.put(DEAD.url, DEAD)
        assert early.in_memory == 2
        assert all(url in early for url in (*PAGES, DEAD.url))
        assert await early.pop(DEAD.url) == DEAD
        for url in reversed(PAGES):
            assert await early.pop(url) == PAGES[url]
            assert url not in early
        assert await early.pop(DEAD.url) is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a folder of this test


async def test_the_file_does_not_grow_with_the_number_of_pages(tmp_path: Path) -> None:
    """Its space is used again once nothing waits in it."""
    page = {"text": "x" * 1000}
    with closing(EarlyPages(tmp_path, 0)) as early:
        for number in range(50):
            await early.put(str(number), page)
            if number % 2:
                assert await early.pop(str(number - 1)) == await early.pop(str(number)) == page
        assert early._file is not None
        assert os.fstat(early._file.fileno()).st_size == 0


async def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    """With what can be done."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(EarlyPages(tmp_path, 0)) as early:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
        try:
            with pytest.raises(OutputUnwritable, match="set TMPDIR to another folder"):
                await early.put("http://a.example/", {"text": "x" * 1000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

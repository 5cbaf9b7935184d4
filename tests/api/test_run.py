"""A crawl from Python: what it returns, how it ends, and what it leaves alone."""

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from farm import Farm, FarmError, Page
from fixtures.pages import serving
from fixtures.shop import Shop
from tests.e2e.farm_process import read_lines


async def test_a_run_returns_its_summary_and_says_nothing(
    shop: Shop, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """In the loop that runs already; signals and logging are as they were before."""
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    levels = logging.getLogger().level, logging.getLogger("farm").level
    summary = await Farm(scope="page", **options).run(
        [shop.url, {"url": f"{shop.url}about", "meta": {"n": 1}}]
    )
    assert (summary.exit_reason, summary.ledger.done, summary.written) == ("finished", 2, 2)
    assert capfd.readouterr() == ("", "")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (logging.getLogger().level, logging.getLogger("farm").level) == levels
    records = read_lines(options["output"] / "pages.jsonl")
    assert {record["url"]: record["meta"] for record in records} == {
        shop.url: {},
        f"{shop.url}about": {"n": 1},
    }
    assert json.loads((options["output"] / "summary.json").read_text())["ledger"]["done"] == 2
    assert "2 pages" in (options["output"] / "farm.log").read_text()


async def test_the_folder_is_closed_to_others(shop: Shop, options: dict[str, Any]) -> None:
    """The mask of the process is its own, so the folder says what `file_mode` says."""
    before = os.umask(0o022)
    try:
        await Farm(scope="page", **options).run(shop.url)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert options["output"].stat().st_mode & 0o777 == 0o700


async def test_a_finished_crawl_is_not_run_again(shop: Shop, options: dict[str, Any]) -> None:
    """The same object serves for several runs."""
    farm = Farm(scope="page", **options)
    await farm.run(shop.url)
    again = await farm.run(shop.url)
    assert (again.exit_reason, again.ledger.done, again.written) == ("finished", 1, 0)


async def test_two_farms_work_in_one_loop(shop: Shop, options: dict[str, Any], tmp_path: Path) -> None:
    """Each with its own folder and its own browsers."""
    one, two = (Farm(scope="page", **{**options, "output": tmp_path / name}) for name in ("one", "two"))
    summaries = await asyncio.gather(one.run(shop.url), two.run([shop.url, f"{shop.url}about"]))
    assert [summary.ledger.done for summary in summaries] == [1, 2]
    logs = [(tmp_path / name / "farm.log").read_text() for name in ("one", "two")]
    assert [text.count("finished after") for text in logs] == [1, 1]


async def test_what_a_user_can_mend_is_raised(options: dict[str, Any]) -> None:
    """One sentence, and nothing that runs on."""
    with pytest.raises(FarmError, match="There is no URL to start from"):
        await Farm(**options).run()
    with pytest.raises(FarmError, match="has no scheme"):
        await Farm(**options).run("shop.example")


async def test_stop_finishes_the_pages_under_way(shop: Shop, options: dict[str, Any]) -> None:
    """What is queued stays queued, for the next run."""
    farm, before = Farm(**options), len(shop.requests.pages())
    running = asyncio.create_task(farm.run(shop.url))
    await asyncio.to_thread(shop.requests.wait_for, lambda journal: len(journal.pages()) >= before + 2, 60)
    farm.stop()
    summary = await running
    assert summary.exit_reason == "stopped"
    assert summary.ledger.leased == 0
    assert summary.ledger.queued > 0


async def test_a_cancelled_run_gives_its_pages_back(shop: Shop, options: dict[str, Any]) -> None:
    """And nothing of it runs on: the same folder can be used at once."""
    farm, before = Farm(**options), len(shop.requests.pages())
    running = asyncio.create_task(farm.run(shop.url))
    await asyncio.to_thread(shop.requests.wait_for, lambda journal: len(journal.pages()) >= before + 2, 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    summary = await Farm(**{**options, "limit": 1}).run()
    assert summary.ledger.leased == 0
    assert summary.ledger.balanced


async def test_run_sync_in_a_running_loop_has_a_thread_of_its_own(
    shop: Shop, options: dict[str, Any]
) -> None:
    """As in a notebook, whose loop waits meanwhile."""
    before = gc.get_threshold()
    assert Farm(scope="page", **options).run_sync(shop.url).ledger.done == 1
    assert gc.get_threshold() == before


SCRIPT = """
import sys
from farm import Farm
print("crawling", flush=True)
summary = Farm(output="out", contexts=2, ramp_up="0s", allow_network=["127.0.0.0/8"]).run_sync(sys.argv[1])
print("done", summary.exit_reason)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_a_script(shop: Shop, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The pages under way are finished, and the script ends as a script does that was told to."""
    before = len(shop.requests.pages())
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, shop.url], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as script:
        assert shop.requests.wait_for(lambda journal: len(journal.pages()) >= before + 3, 60)
        script.send_signal(number)
        out, err = script.communicate(timeout=60)
    assert script.returncode in {code, -number}, err
    assert out.decode().split() == ["crawling"]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["exit_reason"], summary["ledger"]["leased"]) == (number.name.lower(), 0)


async def test_a_title_that_utf_8_cannot_hold_ends_one_visit_alone(options: dict[str, Any]) -> None:
    """A handler gives the page up with it, or raises it; the other pages are visited."""
    named = '<script type="application/ld+json">{"name": "odd \\ud800"}</script>'
    async with serving({"failed": named, "raised": named, "good": named}) as origin:
        farm = Farm(**{**options, "render": "fetch", "retries": 0, "robots": "ignore", "contexts": 1})

        @farm.default
        async def read(page: Page) -> None:
            name = page.metadata["json_ld"][0]["name"]
            if page.url.endswith("failed"):
                page.fail(name)
            if page.url.endswith("raised"):
                raise ValueError(name)

        summary = await farm.run([f"{origin}/{name}" for name in ("failed", "raised", "good")])
    assert (summary.exit_reason, summary.dead, summary.written) == ("finished", {"handler": 2}, 1)

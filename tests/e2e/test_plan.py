"""`farm plan`, as a user runs it."""

from pathlib import Path

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import crawl, start


def planned(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run it and return the exit code and what it prints."""
    ended = start("plan", *arguments, folder=folder).finish()
    return ended.code, ended.output


def test_a_plan_names_the_limit_that_binds(out: Path) -> None:
    """C_max: two proxies of half a visit a second."""
    proxies = out.parent / "proxies.txt"
    proxies.write_text("http://127.0.0.1:1\nhttp://127.0.0.1:2\n")
    flags = ["--proxies", str(proxies), "--proxy-rate", "30/m", "--page-time", "2s", "--contexts", "8"]
    code, told = planned(out, "--pages", "3600", *flags)
    assert code == 0, told
    binds = next(line for line in told.splitlines() if "binds" in line)
    assert "C_max" in binds
    assert "1.00 pages/s" in binds
    assert "1h" in told
    code, told = planned(out, "--pages", "3600", "--within", "10m", *flags)
    assert "none" in told


def test_a_plan_takes_the_time_that_a_crawl_has_measured(out: Path) -> None:
    """And what it has left; without anything to plan it says what to give."""
    with serve_shop_in_thread() as shop:
        finished = crawl(out, shop.url, time_limit="5s", rate="2/s").finish()
        assert finished.code == 5, finished.output
    code, told = planned(out, "--output", str(out), "--rate", "2/s")
    assert code == 0, told
    assert "measured" in told
    assert f"{finished.summary['ledger']['queued']:,} pages" in told
    assert "2.00 pages/s  <- binds" in told
    code, told = planned(out)
    assert code == 2
    assert "give --pages" in told

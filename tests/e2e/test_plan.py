"""`farm plan`, as a user runs it."""

import json
from pathlib import Path

import pytest

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
    code, told = planned(out, "--pages", "3600", "--proxies", str(proxies))
    assert code == 2
    assert "give --proxy-rate RATE too" in told


def test_a_plan_takes_the_time_that_a_crawl_has_measured(out: Path) -> None:
    """And what it has left; without anything to plan it says what to give."""
    with serve_shop_in_thread() as shop:
        finished = crawl(out, shop.url, limit="5", rate="2/s").finish()
        assert finished.code == 5, finished.output
    code, told = planned(out, "--output", str(out), "--rate", "2/s")
    assert code == 0, told
    assert "measured" in told
    assert f"{finished.summary['ledger']['queued']:,} pages" in told
    assert "2.00 pages/s  <- binds" in told
    code, told = planned(out)
    assert code == 2
    assert "give --pages" in told


def test_a_plan_is_measured_by_a_probe_and_compared_with_what_happened(out: Path) -> None:
    """Before there is a crawl, and after it has run; a million pages cost what the nodes do meanwhile."""
    with serve_shop_in_thread() as shop:
        loopback = ["--allow-network", "127.0.0.0/8", "--no-sandbox", "--insecure"]
        code, told = planned(out, shop.url, "--pages", "1000", "--node-price", "0.36", "--json", *loopback)
        assert code == 0, told
        warned = [line for line in told.splitlines() if "Certificates" in line]
        assert warned == ["farm: Certificates are not checked (--insecure)."]
        plan = json.loads(told.splitlines()[-1])
        assert 0 < plan["page_cpu_s"] < 5
        assert plan["page_time_s"] > 0
        assert plan["million_pages_cost"] == pytest.approx(100 / plan["per_s"])
        assert plan["overall_per_s"] == pytest.approx(1000 / plan["lasts_s"])
        assert 1000 / plan["per_s"] < plan["lasts_s"] < 1000 / plan["per_s"] + 60
        assert [path.name for path in out.parent.iterdir()] == []
        finished = crawl(out, shop.url, limit="20").finish()
        assert finished.summary["cpu_s"] > 0
        summary = finished.summary
        assert 0 < summary["first_page_s"] < 20 / summary["pages_per_s"]
    code, told = planned(out, "--output", str(out), "--json")
    assert code == 0, told
    last = json.loads(told)["last_run"]
    assert (last["pages"], last["contexts"], last["ramp_up_s"]) == (20, 2, 0)
    assert last["first_page_s"] == summary["first_page_s"]
    # From its start to its end: by the rate of a warm run of thousands of pages it was a fraction of that.
    assert 0 < last["expected"] < json.loads(told)["per_s"]
    assert json.loads(told)["page_cpu_s"] == last["page_cpu_s"]


@pytest.mark.slow
def test_a_plan_knows_how_much_a_site_bears(out: Path) -> None:
    """From a probe that the site throttles: contexts that wait for it would bring no more."""
    with serve_shop_in_thread(pages_per_s=3.0, retry_after_s=1) as shop:
        # Whatever else uses the processor is not to bind.
        flags = ["--allow-network", "127.0.0.0/8", "--no-sandbox", "--page-cpu", "1ms", "--contexts", "8"]
        code, told = planned(out, shop.url, "--pages", "1000", "--json", *flags)
        assert code == 0, told
        plan = json.loads(told.splitlines()[-1])
        assert plan["binding"] == "pace"
        assert plan["per_s"] < 8


def test_a_plan_reckons_with_what_the_tables_say_of_a_site(out: Path) -> None:
    """Of farm.toml, and of a crawl that was created with them; a flag counts where no table covers a site."""
    config = out.parent / "farm.toml"
    config.write_text(
        '[site."shop.example"]\nrate = "30/m"\n[site."b.example"]\nconcurrency = 1\nrate = "1/s"\n'
    )
    code, told = planned(out, "--pages", "3600")
    assert code == 0, told
    assert "1.50 pages/s  <- binds" in told
    code, told = planned(out, "--pages", "3600", "--sites", "3", "--rate", "2/s")
    assert "3.50 pages/s  <- binds" in told
    with serve_shop_in_thread() as shop:
        config.write_text(f'[site."127.0.0.1:{shop.port}"]\nrate = "90/m"\nconcurrency = 1\n')
        finished = crawl(out, shop.url, limit="2", global_concurrency="1").finish()
        assert finished.code == 5, finished.output
    config.unlink()
    code, told = planned(out, "--output", str(out), "--page-time", "1s")
    assert code == 0, told
    rows = [line.split("│") for line in told.splitlines() if "pages/s" in line]
    rates = {row[1].strip(): row[2].partition("<")[0].strip() for row in rows if len(row) > 2}
    assert rates["the sites' rate"] == "1.50 pages/s"
    assert (
        rates["the places in flight at the sites"] == rates["the places in flight in all"] == "1.00 pages/s"
    )


def test_a_table_that_cannot_be_meant_is_refused_by_a_plan(out: Path) -> None:
    """With the key, as by a run."""
    (out.parent / "farm.toml").write_text('[site."shop.example"]\nraet = "2/s"\n')
    for arguments in (["plan", "--pages", "5"], ["run", "https://shop.example/"]):
        refused = start(*arguments, folder=out).finish()
        assert refused.code == 2
        assert """[site."shop.example"]: it has 'raet'""" in refused.output
        assert "did you mean rate?" in refused.output

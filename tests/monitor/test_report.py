"""The lines that a person reads when a run is over."""

import re
from dataclasses import replace

import pytest

from farm.model.errors import FarmError, FrontierRefused
from farm.monitor.report import RunReport, nothing_recorded, report_lines
from farm.monitor.snapshot import SiteView

REPORT = RunReport(
    why="limit",
    elapsed_s=10.0,
    recorded=20,
    stored=(
        ("jsonl:crawls/shop.example/pages.jsonl", 20, 120),
        ("sqlite:////data/shop.db", 20, None),
        ("jsonl:s3://crawls/shop", 20, 120),
    ),
    bytes_received=3 * 2**20,
    statuses={200: 17, 404: 3},
    blocked={"cloudflare": 2},
    refused={"robots": (4, "https://shop.example/private")},
    skipped={"out_of_scope": 12, "robots": 4},
    dead={"timeout": (3, "https://shop.example/slow", "no answer"), "worker_died": (1, "", "")},
    troubles=("the sitemap https://shop.example/s.xml was not read: status 404",),
    left=7,
    go_on="farm run --output crawls/shop.example",
    where="--output crawls/shop.example",
)

FORBIDDEN = "the site's robots.txt forbids it; where you may, give --robots ignore"


def test_the_report_says_what_came_of_a_run() -> None:
    """Duration, pace, bytes, statuses, blocks, refusals, skips, the dead with examples, records, what is left."""
    assert report_lines(REPORT) == [
        "stopped by --limit after 0:10: 20 pages recorded, 2.0/s, 3.0 MiB received",
        "  status   200 17, 404 3",
        "  blocked  cloudflare 2 (`blocked_by` in the records)",
        f"  refused  robots 4: https://shop.example/private; {FORBIDDEN}",
        "  skipped  out_of_scope 12, robots 4 (skipped.jsonl says which)",
        "  dead     timeout 3: https://shop.example/slow (no answer)",
        "  dead     worker_died 1",
        (
            "           all of them: farm dead list --output crawls/shop.example; "
            "once the cause is gone: farm dead replay --output crawls/shop.example"
        ),
        "  note     the sitemap https://shop.example/s.xml was not read: status 404",
        "  records  120 pages in crawls/shop.example/pages.jsonl",
        "  records  20 pages of this run in sqlite:////data/shop.db",
        "  records  120 pages in jsonl:s3://crawls/shop",
        "  left     7 URLs; go on with: farm run --output crawls/shop.example",
    ]


def test_the_report_says_where_the_items_are() -> None:
    """Of each sink that has them, also where this run has found none; without a declaration there is no line."""
    places = ("crawls/shop.example/items.jsonl", "the table items of sqlite:////data/shop.db")
    found = [line for line in report_lines(replace(REPORT, items=34, item_places=places)) if "items" in line]
    assert found == [
        "  items    34 of this run in crawls/shop.example/items.jsonl",
        "  items    34 of this run in the table items of sqlite:////data/shop.db",
    ]
    assert "  items    0 of this run in items.jsonl" in report_lines(
        replace(REPORT, item_places=["items.jsonl"])
    )


def test_the_report_says_how_far_the_crawl_is_and_what_failed_most() -> None:
    """By site, the one with most failed visits first; of a run without failures there is no such line."""
    report = replace(
        REPORT,
        settled=120,
        accepted=160,
        page_ms=(800, 3400),
        memory_bytes=(1 << 30, 4 << 30),
        failing=(
            SiteView("calm.example", pages=90),
            SiteView("some.example", pages=7, client_errors=2, failed=1),
            SiteView("worst.example\x1b[2J", pages=1, server_errors=4, throttled=2),
        ),
    )
    lines = report_lines(report)
    assert lines[1] == (
        "  reached  120 of 160 URLs settled (75 %); a page took 800 ms, one in twenty more than 3.4 s; "
        "at most 1.0 GiB of 4.0 GiB used"
    )
    [line] = [line for line in lines if line.startswith("  failed ")]
    assert line == (
        "  failed   worst.example\\x1b[2J 4 5xx, 2 put off (429, 503) of 7 visits; "
        "some.example 1 other of 10 visits"
    )
    assert not [line for line in report_lines(REPORT) if line.startswith(("  failed ", "  reached "))]


def test_many_pages_that_miss_scripts_are_a_line() -> None:
    """With the host that most of them miss, and an example; a few of many pages are none."""
    hosts = {
        "odd.example": (1, "https://shop.example/1", "answered 404"),
        "cdn.example": (12, "https://shop.example/2", "dns: cdn.example: Name or service not known"),
    }
    report = replace(REPORT, without_scripts=13, script_hosts=hosts)
    assert (
        "  scripts  13 pages miss scripts: cdn.example on 12 (dns: cdn.example: Name or service not known): "
        "https://shop.example/2"
    ) in report_lines(report)
    few = replace(report, without_scripts=1, recorded=100)
    assert not any("miss" in line for line in report_lines(few))


def test_a_run_without_trouble_is_three_lines() -> None:
    """What did not happen is not told."""
    quiet = RunReport("finished", 1.0, 1, (("jsonl:out/pages.jsonl", 1, 1),), 100, statuses={200: 1})
    assert report_lines(quiet) == [
        "finished after 0:01: 1 page recorded, 1.0/s, 100 B received",
        "  status   200 1",
        "  records  1 page in out/pages.jsonl",
    ]


def test_routes_that_were_not_visited_are_told_with_the_remedy() -> None:
    """By site; of many sites the first."""
    counts = {"shop.example": 55, "one.example": 1, "large.example": 1001}
    many = {f"{number}.example": 2 for number in range(5)}
    lines = report_lines(
        RunReport("finished", 1.0, 1, (("jsonl:out/pages.jsonl", 1, 1),), 100, unvisited_routes=counts | many)
    )
    said = [line.removeprefix("  note     ") for line in lines if line.startswith("  note")]
    assert said[:2] == [
        (
            "large.example has more than 1,000 pages behind #/ addresses that were not visited; "
            "--hash-routes auto visits them"
        ),
        "shop.example has 55 pages behind #/ addresses that were not visited; --hash-routes auto visits them",
    ]
    assert said[-1] == "so have 2 other sites"
    (line,) = report_lines(
        RunReport(
            "finished", 1.0, 1, (("jsonl:out/pages.jsonl", 1, 1),), 100, unvisited_routes={"one.example": 1}
        )
    )[1:-1]
    assert line.endswith(
        "one.example has 1 page behind #/ addresses that was not visited; --hash-routes auto visits it"
    )


def test_no_text_from_outside_moves_the_cursor() -> None:
    """Details, names of vendors and addresses are what sites say."""
    report = RunReport(
        "finished",
        1.0,
        0,
        (("jsonl:out\x1b[2J", 0, 0),),
        0,
        blocked={"\x1b]0;x\x07": 1},
        refused={"robots": (1, "https://a.example/\u202e")},
        dead={"network": (1, "https://a.example/\x9b", "one\ntwo")},
        troubles=("\x1b[31m",),
    )
    assert all(line.isprintable() for line in [*report_lines(report), nothing_recorded(report)])


def test_the_report_is_bounded() -> None:
    """A site may answer with every status that there is, and with details without end."""
    report = RunReport(
        "finished",
        1.0,
        0,
        (("jsonl:out/pages.jsonl", 0, 0),),
        0,
        statuses=dict.fromkeys(range(1000), 1),
        dead={f"r{n}": (1, "https://a.example/" + "x" * 5000, "d" * 5000) for n in range(100)},
    )
    lines = report_lines(report)
    assert len(lines) < 15
    assert max(map(len, lines)) < 300
    assert "994 more" in lines[1]


@pytest.mark.parametrize(
    ("url", "flag"),
    [
        ("http://localhost/", "--allow-network 127.0.0.0/8"),
        ("http://127.0.0.1:8000/a", "--allow-network 127.0.0.0/8"),
        ("http://[::1]:8000/a", "--allow-network [::1]/128"),
        ("http://wiki.corp/", "--allow-network CIDR"),
    ],
)
def test_a_refused_address_is_named_with_its_flag(url: str, flag: str) -> None:
    """`finished: 1 done` and an empty file help nobody."""
    report = RunReport(
        "finished",
        1.0,
        0,
        (("jsonl:out/pages.jsonl", 0, 0),),
        0,
        refused={"private_network": (1, url)},
        where="--output out",
    )
    said = nothing_recorded(report)
    assert said.startswith(f"not one page was recorded: {url} was refused (private_network); ")
    assert flag in said
    assert "--fresh" in said
    assert "--fresh" not in nothing_recorded(replace(report, where=""))


def test_what_was_given_up_is_named_with_its_reason() -> None:
    """The most frequent reason, with where all of them are listed."""
    said = nothing_recorded(
        RunReport(
            "finished",
            1.0,
            0,
            (("jsonl:out/pages.jsonl", 0, 0),),
            0,
            refused={"robots": (1, "http://a.example/r")},
            dead={"network": (2, "http://a.example/", "connection refused")},
            where="--output out",
        )
    )
    assert "http://a.example/ was given up (network: connection refused)" in said
    assert "`farm dead list --output out`" in said


@pytest.mark.parametrize(
    ("detail", "remedy"),
    [
        (
            "ERR_CERT_AUTHORITY_INVALID",
            "; trust its authority with --ca-file FILE, or accept any certificate",
        ),
        ("ERR_CERT_DATE_INVALID", "; accept any certificate with --insecure, after `farm dead replay -o x`"),
        ("ERR_SSL_PROTOCOL_ERROR", ""),
        ("", ""),
    ],
)
def test_a_certificate_that_was_refused_is_told_with_the_remedy(detail: str, remedy: str) -> None:
    """An authority can be trusted, another fault only be accepted; what is no certificate has no remedy here."""
    url = "https://a.example/"
    report = RunReport(
        "finished",
        1.0,
        0,
        (("jsonl:out/pages.jsonl", 0, 0),),
        0,
        dead={"tls": (1, url, detail)},
        where="-o x",
    )
    line = next(line for line in report_lines(report) if line.startswith("  dead"))
    assert remedy in line
    assert remedy in nothing_recorded(report)
    assert ("--insecure" in line) == bool(remedy)


def test_what_is_left_is_counted_in_the_singular_too() -> None:
    """One URL."""
    report = RunReport(
        "usage_error", 1.0, 0, (("jsonl:out/pages.jsonl", 0, 0),), 0, left=1, go_on="farm run --output out"
    )
    report = replace(report, accepted=1, failing=(SiteView("a.example", pages=0, server_errors=1),))
    lines = report_lines(report)
    assert lines[0].startswith("ended by a setting that cannot be used after 0:01: ")
    assert lines[1] == "  reached  0 of 1 URL settled (0 %)"
    assert lines[2] == "  failed   a.example 1 5xx of 1 visit"
    assert lines[-1] == "  left     1 URL; go on with: farm run --output out"


@pytest.mark.parametrize("kind", [*FarmError.__subclasses__(), *FrontierRefused.__subclasses__()])
def test_an_error_that_ends_a_run_is_told_in_words(kind: type[FarmError]) -> None:
    """Not by the name that `summary.json` has for scripts."""
    why = re.sub(r"(?<=.)([A-Z])", r"_\1", kind.__name__).lower()
    first = report_lines(RunReport(why, 1.0, 0, (("jsonl:out/pages.jsonl", 0, 0),), 0))[0]
    assert "_" not in first.partition(" after ")[0]


def test_a_selector_that_matches_nothing_is_named() -> None:
    """A click may be for some pages; where nothing was matched anywhere, going on would not help."""
    some = {"--wait css:.price": (3, 17), "--click .more": (19, 1)}
    lines = report_lines(replace(REPORT, selectors=some))
    assert "  selector --wait css:.price matched nothing on 3 of 20 pages" in lines
    assert "--click" not in "\n".join(lines)
    assert lines[-1] == report_lines(REPORT)[-1]
    lines = report_lines(replace(REPORT, selectors={"--click .wall": (20, 0)}))
    assert "  selector --click .wall matched nothing on any page (20 tried)" in lines
    assert "go on" not in lines[-1]
    assert "--fresh" in lines[-1]


def test_what_was_skipped_for_its_depth_may_have_been_visited() -> None:
    """The number counts links: one that leads there by a shorter way is followed."""
    lines = report_lines(replace(REPORT, skipped={"depth": 4, "robots": 1}))
    said = "(skipped.jsonl says which; depth: by those links, a shorter way may have led there)"
    assert f"  skipped  depth 4, robots 1 {said}" in lines

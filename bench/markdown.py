"""How much of thirty pages is kept as Markdown, compared with crawl4ai's: `python -m bench.markdown [--losses]`.

Twenty pages are in `bench/documents`; ten come from Debian's doc packages, which `apt-get download` fetches. The
truth is read from each page's own HTML: headings, list items, cells of tables with a header, links, lines of code.
One survives where the Markdown has it as what it is: a heading as a heading, a cell in a row, a line of code in a
block of code with its indentation (in a table: a line of code, or of a list, in its cell). Of the main text is
said which share of the words of the page's `main` it has, and which share of those outside it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from lxml import html

from bench.environments import CACHE, prepare
from bench.subjects import ROOT
from farm.browser.chromium import find_browser

DOCUMENTS = ROOT / "bench" / "documents"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "debian-policy": ("usr/share/doc/debian-policy/menu-policy-1.html",),
    "developers-reference": ("usr/share/developers-reference/l10n.html",),
    "git-doc": ("usr/share/doc/git-doc/SubmittingPatches.html", "usr/share/doc/git-doc/git-rebase.html"),
    "maint-guide": ("usr/share/doc/maint-guide/html/dreq.en.html",),
    "apt-doc": ("usr/share/doc/apt-doc/guide.de.html/ch2.html",),
    "postgresql-doc-15": tuple(
        f"usr/share/doc/postgresql-doc-15/html/{name}.html"
        for name in ("datatype-numeric", "functions-json", "tutorial-join", "pgbench")
    ),
}
KINDS = ("headings", "items", "cells", "links", "code")
OURS, THEIRS = "farm", "crawl4ai"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_UNSEEN = ("script", "style", "noscript", "template", "head")
_MARKS = re.compile(r"[\s*_`\\#|>~^\[\]]+")
_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?:<[^>]*>|[^()\s]*(?:\([^()]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)"
)
_IMAGE = re.compile(r"!\[[^\[\]]*\]\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)")
_TARGET = re.compile(r"\]\(<?((?:[^()\s<>]|\([^()\s]*\))+)")
_AUTOLINK = re.compile(r"<((?:https?:|mailto:)?[^\s<>]+)>")
_ITEM = re.compile(r"[\s>|]*(?:[-*+]|\d+[.)])\s+(.*)")
_ITEM_CHARS = 40
_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a page has, by kind, and the words inside and outside of its main part (no main part: none outside)."""

    parts: Mapping[str, tuple[str, ...]]
    main: frozenset[str]
    noise: frozenset[str]


@dataclass
class Tally:
    """How many parts survived, by kind; those that did not; the main text's two shares."""

    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    main_share: float = 0.0
    noise_share: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; return 1 where something is empty that should not be."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="farm-markdown-") as scratch:
        folder = Path(scratch)
        pages = _collected(folder / "site")
        with _served(folder / "site") as base:
            urls = {name: urljoin(base, name) for name in pages}
            made = {OURS: _ours(list(urls.values()), folder), THEIRS: _theirs(list(urls.values()))}
    truths = {name: truth_of(source, urls[name]) for name, source in pages.items()}
    tallies = {
        who: {name: compared(truths[name], found.get(url, {})) for name, url in urls.items()}
        for who, found in made.items()
    }
    print_table(truths, tallies)
    if options.losses:
        for who, by_page in tallies.items():
            for name, tally in by_page.items():
                for kind, lost in tally.lost.items():
                    print(f"{who} {name} {kind}: " + " | ".join(text[:60] for text in lost[: options.losses]))
    return int(any(not found.get("markdown") for found in made[OURS].values()))


def truth_of(source: bytes, url: str) -> Truth:
    """Return what the page's HTML has, and shows."""
    root = html.document_fromstring(source, parser=html.HTMLParser(encoding="utf-8", remove_comments=True))
    for unseen in [*root.iter(*_UNSEEN), *root.xpath("//*[@hidden]")]:
        if unseen.getparent() is not None:
            unseen.drop_tree()
    data = [
        one for one in root.iter("table") if list(one.iter("th")) and not list(one.iterdescendants("table"))
    ]
    pres = list(root.iter("pre"))
    cells = (one for table in data for one in table.iter("td", "th"))
    anchors = (one for one in root.iter("a") if one.get("href") and (_text(one) or list(one.iter("img"))))
    parts = {
        "headings": tuple(text for one in root.iter(*HEADINGS) if (text := _plain(_text(one)))),
        "items": tuple(text[:_ITEM_CHARS] for one in root.iter("li") if (text := _plain(_own_text(one)))),
        "cells": tuple(text for one in cells if (text := _plain(_text(one)))),
        "links": tuple(urljoin(url, one.get("href")) for one in anchors),
        "code": tuple(
            line for pre in pres for one in pre.text_content().split("\n") if (line := one.rstrip())
        ),
    }
    found = [*root.iter("main"), *root.iter("article")]
    main = _words(_text(found[0] if found else root))
    return Truth(parts, main, frozenset() if not found else _words(_text(root)) - main)


def compared(truth: Truth, found: Mapping[str, str]) -> Tally:
    """Return what of the truth is in the Markdown and in the main text."""
    markdown, tally = found.get("markdown") or "", Tally()
    fenced, lines = _fenced(markdown)
    plain_lines = [_plain(line) for line in lines]
    headings = {
        plain for line, plain in zip(lines, plain_lines, strict=True) if line.lstrip(" >-*").startswith("#")
    }
    # The text of an item goes on where the source breaks its line.
    items = [
        _plain(" ".join([match[1], *lines[number + 1 : number + 4]]))
        for number, line in enumerate(lines)
        if (match := _ITEM.match(line))
    ]
    coded = [line.replace("\\|", "|") for line in lines if "|" in line]
    rows = [plain for line, plain in zip(lines, plain_lines, strict=True) if "|" in line]
    targets = {*_TARGET.findall(markdown), *_AUTOLINK.findall(markdown)}
    targets |= {f"mailto:{target}" for target in targets if "@" in target}
    survives: Mapping[str, Callable[[str], bool]] = {
        "headings": headings.__contains__,
        "items": lambda text: any(item.startswith(text) for item in items) or _as_line(text, rows),
        "cells": lambda text: any(text in row for row in rows),
        "links": targets.__contains__,
        "code": lambda line: line in fenced or _as_code(line, coded),
    }
    for kind, parts in truth.parts.items():
        lost = [part for part in parts if not survives[kind](part)]
        tally.kept[kind] = len(parts) - len(lost)
        if lost:
            tally.lost[kind] = lost
    words = _words(found.get("main") or "")
    tally.main_share = len(words & truth.main) / max(1, len(truth.main))
    tally.noise_share = len(words & truth.noise) / max(1, len(truth.noise))
    return tally


def print_table(truths: Mapping[str, Truth], tallies: Mapping[str, Mapping[str, Tally]]) -> None:
    """Print a row a page, and the sums."""
    print(f"{'page':28}" + "".join(f"{kind:>18}" for kind in KINDS) + f"{'main text':>22}")
    print(f"{'':28}" + f"{f'{OURS}/{THEIRS}/of':>18}" * len(KINDS) + f"{'kept, noise':>22}")
    sums = {who: dict.fromkeys(KINDS, 0) for who in tallies}
    for name, truth in truths.items():
        line = f"{Path(name).stem[:27]:28}"
        for kind in KINDS:
            kept = [tallies[who][name].kept[kind] for who in (OURS, THEIRS)]
            for who, number in zip((OURS, THEIRS), kept, strict=True):
                sums[who][kind] += number
            total = len(truth.parts[kind])
            line += f"{f'{kept[0]} {kept[1]} {total}' if total else '-':>18}"
        shares = [
            f"{tallies[who][name].main_share:.0%} {tallies[who][name].noise_share:.0%}"
            for who in (OURS, THEIRS)
        ]
        print(line + f"{shares[0]:>11}{shares[1]:>11}")
    line = f"{'sum':28}"
    for kind in KINDS:
        total = sum(len(truth.parts[kind]) for truth in truths.values())
        line += f"{f'{sums[OURS][kind]} {sums[THEIRS][kind]} {total}':>18}"
    print(line)


def _as_code(line: str, rows: list[str]) -> bool:
    """Return whether a cell has the line as code."""
    return any(re.search(rf"`+ *{re.escape(line.strip())} *`+", row) for row in rows)


def _as_line(text: str, rows: list[str]) -> bool:
    """Return whether a cell has the item as a line that begins as items do."""
    return any(f"-{text}" in row or re.search(rf"\d+\.{re.escape(text)}", row) for row in rows)


def _plain(text: str) -> str:
    """Return a text without what Markdown marks, and without spaces."""
    return _MARKS.sub("", _LINK.sub(r"\1", _IMAGE.sub("", html_unescaped(text))))


def html_unescaped(text: str) -> str:
    """Return a text with its entities resolved and its line breaks as spaces."""
    import html as entities

    return entities.unescape(text.replace("<br>", " "))


def _fenced(markdown: str) -> tuple[set[str], list[str]]:
    """Return the lines of the blocks of code, without what the block is indented by, and the other lines."""
    code, rest, fence, indent = set[str](), list[str](), "", 0
    for line in markdown.split("\n"):
        body = line.lstrip(" >")
        marks = re.match(r"`{3,}|~{3,}", body)
        if not fence and marks:
            fence, indent = marks[0], len(line) - len(body)
        elif fence and body.startswith(fence) and not body.strip(fence[0]).strip():
            fence = ""
        elif fence:
            code.add(line[indent:].rstrip() if not line[:indent].strip(" >") else line.rstrip())
        else:
            rest.append(line)
            if line.startswith("    "):
                code.add(line[4:].rstrip())
    return code, rest


def _text(element: Any) -> str:
    return str(element.text_content()).strip()


def _own_text(item: Any) -> str:
    """Return the text of a list item up to its first inner list, block of code or second block."""
    parts = [item.text or ""]
    for child in item:
        if child.tag in {"ul", "ol", "pre", "table", "dl", "blockquote"}:
            break
        parts.append(child.text_content())
        if child.tag in {"p", "div"}:
            break
        parts.append(child.tail or "")
        if child.tag == "br":
            break
    return "".join(parts).split("\n\n")[0]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _collected(site: Path) -> dict[str, bytes]:
    """Put the pages where they are served from; return their sources by name."""
    site.mkdir(parents=True)
    found = {path.name: path.read_bytes() for path in sorted(DOCUMENTS.glob("*.html"))}
    for package, names in PACKAGES.items():
        folder = CACHE / "doc-packages" / package
        if not folder.exists():
            _unpack(package, folder)
        found |= {Path(name).name: (folder / name).read_bytes() for name in names}
    for name, source in found.items():
        (site / name).write_bytes(source)
    return {name: _without_declaration(source) for name, source in found.items()}


def _without_declaration(source: bytes) -> bytes:
    """Return a source without the declaration that would contradict the encoding that it is read with."""
    return re.sub(rb"^\s*<\?xml[^>]*\?>", b"", source)


def _unpack(package: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=scratch, check=True, timeout=300)
        (archive,) = Path(scratch).glob("*.deb")
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True, timeout=300)


@contextmanager
def _served(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _ours(urls: list[str], folder: Path) -> dict[str, dict[str, str]]:
    seeds, out = folder / "seeds.txt", folder / "out"
    seeds.write_text("\n".join(urls))
    command = [sys.executable, "-m", "farm.cli.main", "run", "--seeds", str(seeds), "--output", str(out)]
    flags = [
        "--scope",
        "page",
        "--markdown",
        "--main-text",
        "--allow-network",
        "127.0.0.0/8",
        "--live",
        "off",
    ]
    subprocess.run([*command, *flags], check=True, timeout=600, cwd=ROOT, stdout=subprocess.DEVNULL)
    records = [json.loads(line) for line in (out / "pages.jsonl").read_text().splitlines()]
    return {
        one["url"]: {"markdown": one["markdown"] or "", "main": one["main_text"] or ""} for one in records
    }


def _theirs(urls: list[str]) -> dict[str, dict[str, str]]:
    job = {"urls": urls, "browser": str(find_browser(None).path)}
    command = [str(prepare(THEIRS)), str(ROOT / "bench" / "peers" / "crawl4ai_markdown_peer.py")]
    environment = {**os.environ, "CRAWL4_AI_BASE_DIRECTORY": str(CACHE / "crawl4ai-home")}
    done = subprocess.run(
        command, input=json.dumps(job).encode(), check=True, capture_output=True, timeout=900, env=environment
    )
    found: dict[str, dict[str, str]] = json.loads(done.stdout[done.stdout.index(b"{") :])
    return found


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.markdown", description="What survives as Markdown."
    )
    parser.add_argument(
        "--losses", type=int, nargs="?", const=20, default=0, metavar="N", help="list what was lost"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

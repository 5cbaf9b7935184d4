"""Check that every relative link in the project's Markdown leads to a file, and every anchor to a heading.

A source file that a document names with its folder must exist too; the changelog may name what is gone.

Web links are not checked: a check must not depend on other servers.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SKIPPED = {".venv", ".git", "crawls", "out", "bench-results", "node_modules"}
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
_NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|lua|js|cjs|sh|toml))(?::\w+)?`")
_BASES = ("", "farm", "farm/frontier")
"""The folders from which documents name files."""
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def documents() -> Iterator[Path]:
    """Yield the project's Markdown files."""
    for path in sorted(ROOT.rglob("*.md")):
        if not SKIPPED.intersection(path.relative_to(ROOT).parts) and not _is_hidden(path):
            yield path


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])


def anchors(text: str) -> set[str]:
    """Return the names of the anchors of a document's headings."""
    names: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        names.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return names


def broken(document: Path) -> Iterator[str]:
    """Yield one sentence for each broken link of a document."""
    text = _FENCE.sub("", document.read_text("utf-8"))
    for match in _LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        where = document.relative_to(ROOT)
        if not file.exists():
            yield f"{where}: there is no {target}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8")):
            yield f"{where}: {path or 'it'} has no heading #{anchor}"
    if document.name != "CHANGELOG.md":
        for name in _NAMED.findall(text):
            if not any((ROOT / base / name).is_file() for base in _BASES):
                yield f"{document.relative_to(ROOT)}: there is no file {name}"


def main() -> int:
    """Print the broken links; return 1 if there are any."""
    complaints = [line for document in documents() for line in broken(document)]
    print("\n".join(complaints) or "All links in the documents lead somewhere.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

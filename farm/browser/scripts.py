"""The farm's scripts for pages, as they are sent: without comments and indentation.

They are sent anew for each document, through two processes of the browser, so each byte counts. Those that read a
page go as a mark as far as the driver, which puts the script in its place (`js/outgoing.cjs`).
"""

import secrets
from importlib.resources import files


def script(*names: str) -> str:
    """Return these files of `js/`, joined; no text in them spans lines, so each line stands for itself."""
    folder = files("farm.browser").joinpath("js")
    lines = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names).splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line for line in stripped if line and not line.startswith("//"))


READING, ACTING = script("settle.js", "text.js", "collect.js", "bounded.js"), script("act.js")
# No page can know it: what a page says passes the driver too.
_SECRET = secrets.token_hex(16)
MARKED = {f"/*{_SECRET}:{number}*/": source for number, source in enumerate((READING, ACTING))}
"""The scripts by the marks that stand for them, comments of JavaScript: what is not replaced does nothing."""
READING_MARK, ACTING_MARK = MARKED

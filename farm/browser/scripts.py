"""The farm's scripts for pages, as they are sent: without comments and indentation.

They are sent anew for each document, through Python, Node and two processes of the browser, so each byte counts.
"""

from importlib.resources import files


def script(*names: str) -> str:
    """Return these files of `js/`, joined; no text in them spans lines, so each line stands for itself."""
    folder = files("farm.browser").joinpath("js")
    lines = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names).splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line for line in stripped if line and not line.startswith("//"))

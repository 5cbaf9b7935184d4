"""HTML in files beside the records, once by content: `bodies/ab/SHA256.html.zst`, `.gz` without Zstandard.

A file is named by the SHA-256 of its HTML in UTF-8, so that an existing file need not be written
again. It is written completely or not at all, and durable before the first record that names it.
"""

import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.text import utf_8
from farm.resources.files import sync_folder
from farm.resources.installation import install_command
from farm.sinks.files import Files
from farm.sinks.frames import ZstdFraming, framing_of
from farm.sinks.record import FOLDERS

_PATH = re.compile(rf"{FOLDERS['html']}/[0-9a-f]{{2}}/([0-9a-f]{{64}})\.html\.(?:zst|gz)")


def body_path(html: str) -> str:
    """Return the path in the output folder of the file with this HTML."""
    digest = sha256(utf_8(html)).hexdigest()
    return f"{FOLDERS['html']}/{digest[:2]}/{digest}.html.{_suffix()}"


def write_body(folder: Path, files: Files, path: str, html: str) -> None:
    """Make the HTML durable at its path below `folder`, unless it is there. Raises `OutputUnwritable`."""
    target = folder / path
    try:
        if target.exists():
            # Whoever has put it there may have been killed before the name was durable.
            sync_folder(target.parent)
            return
    except OSError as error:
        raise OutputUnwritable(
            f"{target} cannot be written ({error.strerror}); check its permissions, or choose another --output"
        ) from error
    files.write(path, framing_of(path).pack(utf_8(html)))


def read_body(folder: Path, path: str) -> str:
    """Return the HTML of a record from the output folder.

    Raises UsageError if the path is not that of a body, or the file is missing or holds something else.
    """
    found = _PATH.fullmatch(path)
    try:
        html = framing_of(path).unpack((folder / path).read_bytes()) if found is not None else None
    except OSError as error:
        raise UsageError(
            f"{folder / path} cannot be read ({error.strerror}); keep the folder bodies beside the records."
        ) from None
    except ImportError:
        raise UsageError(
            f"{folder / path} needs the package backports.zstd; install it with {install_command('zstd')}."
        ) from None
    if found is None or html is None or sha256(html).hexdigest() != found[1]:
        raise UsageError(
            f"{folder / path!s:.300} is not the HTML that its name says; it was changed, or cut off by a crash."
        )
    return html.decode()


@cache
def _suffix() -> str:
    """Return the compression of this Python: Zstandard costs a tenth of gzip, and is available from 3.14 on."""
    try:
        ZstdFraming()
    except ImportError:
        return "gz"
    return "zst"

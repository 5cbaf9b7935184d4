"""What a folder takes on the disk."""

import os
import stat
from collections.abc import Collection
from pathlib import Path


def folder_bytes(folder: Path, without: Collection[str] = ()) -> int:
    """Return the bytes of all files below a folder, links not followed; `without` are names at its top.

    What is gone or cannot be read meanwhile counts as nothing. Blocking: call it in a thread.
    """
    total = 0
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if place == folder and entry.name in without:
                        continue
                    try:
                        about = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISDIR(about.st_mode):
                        waiting.append(place / entry.name)
                    else:
                        total += about.st_size
        except OSError:
            continue
    return total

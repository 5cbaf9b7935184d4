"""Files of the user's in TOML, each read within a bound."""

import tomllib
from pathlib import Path
from typing import Any

from farm.model.errors import UsageError


def read_toml(option: str, path: Path, most_bytes: int) -> tuple[str, dict[str, Any]]:
    """Return the text of a file and what it says.

    Raises UsageError, which never repeats a value, where the `option` names a file that cannot be read, has more
    than `most_bytes` or is no TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read ({error.strerror}); give a TOML file.") from None
    if len(data) > most_bytes:
        raise UsageError(
            f"{path} is larger than {most_bytes >> 10:,} KiB; divide it, or leave something out."
        )
    try:
        text = data.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what, _, where = str(error).partition(" (at ")
        place = f", {where.rstrip(')')}" if where else ""
        quotes = ", in which texts stand in quotes" if what == "Invalid value" else ""
        raise UsageError(f"{path}{place}: {what}; correct the TOML{quotes}.") from None

"""Files in TOML of the user's."""

from pathlib import Path

import pytest

from farm.model.errors import UsageError
from farm.resources.toml_file import read_toml


def test_a_file_that_is_too_large_is_said_to_be_wherever_it_is_cut(tmp_path: Path) -> None:
    """Also in the middle of a letter of several bytes."""
    path = tmp_path / "login.toml"
    path.write_text('word = "' + "ü" * 2_000 + '"', encoding="utf-8")
    for most_bytes in (1_024, 1_025):
        with pytest.raises(UsageError, match=r"login\.toml is larger than 1 KiB; divide it"):
            read_toml("--login", path, most_bytes)
    assert read_toml("--login", path, 1 << 16)[1] == {"word": "ü" * 2_000}
    path.write_bytes(b'word = "\xff"')
    with pytest.raises(UsageError, match=r"login\.toml is not UTF-8 \(byte 8\)"):
        read_toml("--login", path, 1_024)

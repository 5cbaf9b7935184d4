"""What a run leaves is for its user alone, unless it is told otherwise."""

import stat
from pathlib import Path

import pytest

from fixtures.shop import Shop
from tests.e2e.farm_process import crawl


@pytest.mark.parametrize(("flags", "others"), [((), 0o077), (("--file-mode", "0640"), 0o027)])
def test_files_are_private_by_default(shop: Shop, out: Path, flags: tuple[str, ...], others: int) -> None:
    """Records may hold what was behind a login; the private folder is never open to others."""
    finished = crawl(out, shop.url, "--screenshot", *flags, scope="page", contexts="1").finish()
    assert finished.code == 0, finished.output
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [out, *out.rglob("*")]}
    assert {str(path): oct(mode) for path, mode in modes.items() if mode & others} == {}
    assert modes[out / ".farm"] == 0o700
    group = modes[out / "pages.jsonl"] & 0o070, modes[out / "screenshots"] & 0o070
    assert group == ((0o040, 0o050) if flags else (0, 0))

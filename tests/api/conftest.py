"""A shop for crawls from Python, and where their folders are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.shop import Shop, serve_shop_in_thread


@pytest.fixture(scope="package")
def shop() -> Iterator[Shop]:
    """Open a shop without faults."""
    with serve_shop_in_thread() as opened:
        yield opened


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a crawl on loopback needs; its folder is `out`."""
    monkeypatch.chdir(tmp_path)
    return {
        "output": tmp_path / "out",
        "contexts": 2,
        "ramp_up": "0s",
        "allow_network": ["127.0.0.0/8"],
    }

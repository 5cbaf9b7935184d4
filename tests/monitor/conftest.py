"""A server of a simulated farm, and what it was told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.monitor.metrics_server import MetricsServer

from .served import Told, serving


@pytest.fixture
def told() -> Told:
    """Nothing yet."""
    return Told()


@pytest.fixture
def server(told: Told, tmp_path: Path) -> Iterator[MetricsServer]:
    """Yield a server of a simulated farm."""
    with serving(told, tmp_path) as running:
        yield running

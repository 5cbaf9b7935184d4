"""The description of the API: it has what is served, and is read by whoever asks."""

from collections.abc import Coroutine
from typing import Any

import jsonschema
import pytest

from farm.monitor.api_description import PREFIX, description
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.rest_api import RestApi
from tests.clock import ManualClock

from .simulated import simulated
from .test_rest_api import TOKEN, Operations, ask


def test_the_description_has_every_path_and_fits_what_is_taken() -> None:
    """It is read without a token: it says nothing of the crawl."""
    api, clock = RestApi(Operations(), TOKEN, _never), ManualClock(130.0)
    with MetricsServer(
        simulated(8, 30).snapshot, clock, "1", "127.0.0.1", 0, "shop", TOKEN, None, api
    ) as server:
        status, told = ask(server, "GET", "/openapi.json", headers={})
    assert (status, told) == (200, description())
    described = {(path, method.upper()) for path, methods in told["paths"].items() for method in methods}
    served = {(path, method) for path, (_, method) in api.routes().items()}
    assert described == served - {(f"{PREFIX}/openapi.json", "GET")}
    schema = told["paths"][f"{PREFIX}/urls"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate({"urls": ["u", {"url": "u", "meta": {}}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"urls": []}, schema)


async def _never(work: Coroutine[Any, Any, Any]) -> Any:
    raise AssertionError(work)

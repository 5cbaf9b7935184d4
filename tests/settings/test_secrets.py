"""What a secret looks like to who does not ask for it."""

import json

import pytest

from farm.model.secret import SecretHeader, SecretUrl
from farm.settings.commands import RunSettings

SHOWN = {
    "embedded": "embedded",
    "redis://127.0.0.1:6379/3": "redis://127.0.0.1:6379/3",
    "redis://:hunter2@queue:6379/0": "redis://***@queue:6379/0",
    "rediss://me:hunter2@queue": "rediss://***@queue",
    "redis://me:hunt@er2/hunter2@queue": "redis://***@queue",
    "redis://queue?password=hunter2": "redis://queue?***",
    "unix://me:hunter2@/run/redis.sock": "unix://***@/run/redis.sock",
    "me:hunter2@queue": "***",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items())
def test_a_url_is_shown_without_its_secrets(text: str, shown: str) -> None:
    """Also one that is not well-formed."""
    url = SecretUrl(text)
    assert str(url) == f"{url}" == shown
    assert repr(url) == f"SecretUrl({shown})"
    assert url.reveal() == text


def test_a_header_is_shown_by_its_name() -> None:
    """What has no name is not shown at all."""
    assert str(SecretHeader("Authorization: Bearer hunter2")) == "Authorization: ***"
    assert str(SecretHeader("hunter2")) == "***"


def test_settings_are_dumped_and_shown_without_secrets() -> None:
    """As in `summary.json`, and in a traceback's locals."""
    settings = RunSettings(redis="redis://me:hunter2@queue:6379")
    shown = json.dumps(settings.model_dump(mode="json")) + repr(settings) + str(settings)
    assert "redis://***@queue:6379" in shown
    assert "hunter2" not in shown
    assert settings.redis.reveal() == "redis://me:hunter2@queue:6379"

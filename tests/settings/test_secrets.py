"""What a secret looks like to who does not ask for it."""

import json

import pytest

from farm.model.secret import SecretHeader, SecretPathUrl, SecretUrl, without_secrets
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://hooks.example/services/T0/hunter2", "https://hooks.example/***"),
        ("https://me:hunter2@hooks.example/hunter2?hunter2", "https://***@hooks.example/***"),
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/"),
        ("hooks.example/hunter2", "***"),
    ],
)
def test_the_path_of_a_webhook_is_as_secret_as_the_rest(text: str, shown: str) -> None:
    """Whoever knows it may post there."""
    assert str(SecretPathUrl(text)) == shown
    settings = RunSettings(webhook=text, webhook_secret_file="secret")
    dumped = json.dumps(settings.model_dump(mode="json")) + repr(settings)
    assert "hunter2" not in dumped
    assert settings.webhook is not None
    assert settings.webhook.reveal() == text


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


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("pass<word>", "a pass<word> b pass&lt;word&gt; c pass%3Cword%3E", "a *** b *** c ***"),
        ("key%3Dvalue", "a key%3Dvalue b key=value", "a *** b ***"),
        ("%20%2C%20", "a %20%2C%20 b , c", "a *** b , c"),
        ("", "a b", "a b"),
    ],
)
def test_a_secret_is_masked_however_it_is_written(secret: str, text: str, shown: str) -> None:
    """As HTML and addresses write it, and as it was before; but for what occurs in any text."""
    assert without_secrets(text, [secret]) == shown

"""How the Redis of a crawl is reached: its URL, the authorities that vouch for it, and the patience with it."""

import ssl
from pathlib import Path

from farm.browser import trust
from farm.frontier.address import check_url, is_encrypted, with_authority
from farm.frontier.connect import FIRST_PATIENCE_S
from farm.model.errors import UsageError
from farm.settings.options import CrawlSettings


def redis_url(settings: CrawlSettings) -> str:
    """Return the URL of the user's Redis, with the authorities that its certificate is checked by.

    Raises UsageError where the URL or the file of authorities cannot be meant.
    """
    url, authorities = settings.redis.reveal(), settings.redis_ca_file
    check_url(url)
    if authorities is None:
        return url
    if not is_encrypted(url):
        raise UsageError("--redis-ca-file is for TLS; write rediss:// in --redis, or leave the file out.")
    check_authorities("--redis-ca-file", authorities)
    url = with_authority(url, authorities)
    check_url(url)
    return url


def check_authorities(option: str, path: Path) -> None:
    """Raise UsageError where the file that an option names holds no certificate, or a malformed one."""
    try:
        text = path.read_text(encoding="ascii")
        found = trust.certificates(text)
        ssl.create_default_context(cadata=text)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read ({error.strerror}); give a PEM file.") from None
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"{option} {path} holds no certificate; give a file in PEM format.")


def short_patience_s(settings: CrawlSettings) -> float:
    """Return the patience of whoever cannot tell an outage from a wrong address, or is waited for by a person.

    It holds for the first connection of a run and for commands that look in from outside. Patience that is asked
    for is granted: a machine may start its nodes before its Redis.
    """
    return settings.redis_patience if "redis_patience" in settings.model_fields_set else FIRST_PATIENCE_S

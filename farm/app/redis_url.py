"""The Redis of the user's, as it is connected to."""

from farm.app.authorities import check_authorities
from farm.frontier.address import check_url, is_encrypted, with_authority
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

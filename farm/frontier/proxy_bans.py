"""Which proxies are banned, exchanged between the nodes through Redis."""

from collections.abc import Callable, Sequence

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.model.egress import Ban


class SharedBans:
    """A crawl's bans; `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: keys.Named, *, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._key = keys.ctl(crawl)
        self._own_time_ms = own_time_ms

    async def exchange(self, news: Sequence[Ban]) -> Sequence[Ban]:
        """Store new bans and return every ban in force, those of other nodes included."""
        told: list[Arg] = []
        for ban in news:
            told += [_subject_of(ban), max(0, round(ban.left_s * 1000)), ban.bans]
        own = "" if self._own_time_ms is None else self._own_time_ms()
        heard = await self._client.run("bans", self._key, own, *told)
        return [_ban_of(*heard[i : i + 3]) for i in range(0, len(heard), 3)]


def _subject_of(ban: Ban) -> str:
    """Return what a ban is stored under: the proxy's label, and the site after a space. Neither contains one."""
    return ban.proxy if ban.site is None else f"{ban.proxy} {ban.site}"


def _ban_of(subject: bytes, left_ms: int, bans: int) -> Ban:
    proxy, _, site = subject.decode().partition(" ")
    return Ban(proxy, site or None, left_ms / 1000, bans)

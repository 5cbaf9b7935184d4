"""Which proxies are out, told from node to node through Redis."""

from collections.abc import Callable, Sequence

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.model.proxy import Ban


class SharedBans:
    """A crawl's bans; `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: str, *, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._key = keys.ctl(crawl)
        self._own_time_ms = own_time_ms

    async def exchange(self, news: Sequence[Ban]) -> Sequence[Ban]:
        """Tell the news and return every ban that lasts, those of other nodes included."""
        said: list[Arg] = []
        for ban in news:
            said += [ban.subject, max(0, round(ban.left_s * 1000)), ban.bans]
        own = "" if self._own_time_ms is None else self._own_time_ms()
        heard = await self._client.run("bans", self._key, own, *said)
        return [Ban(heard[i].decode(), heard[i + 1] / 1000, heard[i + 2]) for i in range(0, len(heard), 3)]

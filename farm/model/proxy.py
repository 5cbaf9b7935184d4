"""What nodes tell each other about proxies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ban:
    """A proxy, by its label, is out for `left_s` seconds, for one site where `site` names it.

    `bans` counts the bans in a row; 0 says that the proxy is back.
    """

    proxy: str
    site: str | None
    left_s: float
    bans: int


@dataclass(frozen=True, slots=True)
class ShutOut:
    """No proxy may be used for a site before `wait_s` have passed; `by_site` where the site showed blocks."""

    wait_s: float
    by_site: bool

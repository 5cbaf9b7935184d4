"""What nodes tell each other about proxies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ban:
    """A proxy, or one proxy for one site, is out for `left_s`; `bans` in a row, and 0 when it is back.

    `subject` is the proxy's label, and the site after a space where the ban is for one.
    """

    subject: str
    left_s: float
    bans: int


@dataclass(frozen=True, slots=True)
class ShutOut:
    """No proxy may be used for a site before `wait_s` have passed; `by_site` where the site showed blocks."""

    wait_s: float
    by_site: bool

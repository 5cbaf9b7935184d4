"""How long Redis is waited for, where the user has not said it."""

from farm.frontier.connect import FIRST_PATIENCE_S
from farm.settings.options import CrawlSettings


def short_patience_s(settings: CrawlSettings) -> float:
    """Return the patience of whoever cannot tell an outage from a wrong address, or is waited for by a person.

    It holds for the first connection of a run and for commands that look in from outside. Patience that is asked
    for is granted: a machine may start its nodes before its Redis.
    """
    return settings.redis_patience if "redis_patience" in settings.model_fields_set else FIRST_PATIENCE_S

"""What the nodes of a crawl have agreed on, read back from Redis: anybody may have written there."""

from farm.frontier.crawl import Crawl
from farm.frontier.faults import unreadable
from farm.settings.rooms import EgressSettings, SafetySettings, ScopeSettings

FOR_SEEDS = ("scope", "include", "exclude", "depth", "hash_routes")
"""What must be known to add a seed."""


def check_agreed(crawl: Crawl, place: str, *needed: str) -> None:
    """Raise where a setting is none that an option could have given, or where one that is needed is missing."""
    for name in needed:
        if name not in crawl.settings:
            raise unreadable(place, f"its settings lack {name}")
    for room in (ScopeSettings, SafetySettings, EgressSettings):
        try:
            room.model_validate(
                {name: crawl.settings[name] for name in room.model_fields.keys() & crawl.settings}
            )
        except (TypeError, ValueError):
            raise unreadable(place, "its settings are none that a farm has") from None

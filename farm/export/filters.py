"""Which records are wanted: by address, by status, by time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from farm.export.source import Head
from farm.model.errors import UsageError
from farm.sinks.record import timestamp

_ONE_STATUS = re.compile(r"([1-9])(?:(\d\d)|xx)")


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """The conditions of a record, all of which must be true; an empty one or None is true for every record.

    `statuses` are such as `200` and `2xx`; `since` is inclusive, `until` exclusive.
    """

    patterns: Sequence[re.Pattern[str]] = ()
    statuses: frozenset[str] = frozenset()
    since: str = ""
    until: str = ""

    @classmethod
    def of(
        cls,
        patterns: Sequence[str] = (),
        statuses: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> "RecordFilter":
        """Return the filter of the user's options. Raises UsageError with the allowed forms."""
        for status in statuses:
            if not _ONE_STATUS.fullmatch(status):
                raise UsageError(f"--status {status}: write statuses such as 200,404 or 2xx.")
        return cls(tuple(map(_compiled, patterns)), frozenset(statuses), _moment(since), _moment(until))

    def __call__(self, head: Head) -> bool:
        """Return whether a record is wanted."""
        if self.statuses:
            status = str(head.status)
            if not self.statuses & {status, f"{status[:1]}xx"}:
                return False
        if head.fetched_at < self.since or (self.until and head.fetched_at >= self.until):
            return False
        return not self.patterns or any(pattern.search(head.url) for pattern in self.patterns)


def _moment(moment: datetime | None) -> str:
    """Return a time in the format of records, which sorts by time."""
    return "" if moment is None else timestamp(moment.astimezone(UTC))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"--pattern {pattern!r} is not a regular expression ({error}); "
            "put a backslash before characters that should match themselves."
        ) from None

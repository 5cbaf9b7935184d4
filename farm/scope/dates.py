"""Dates as sites write them: W3C's form of ISO 8601, RFC 5322 and its predecessors 822 and 850."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_DATE = 64
_MONTH = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)


def moment_of(text: str) -> datetime | None:
    """Return the moment of a date, as short as a year, in UTC where it says no zone; None if it is no date."""
    month = _MONTH.fullmatch(text)
    try:
        if month is not None:
            moment = datetime(int(month[1]), int(month[2] or 1), 1, tzinfo=UTC)
        elif text[:1].isdigit() and text[4:5] == "-":
            moment = datetime.fromisoformat(text[:LONGEST_DATE])
        else:
            moment = parsedate_to_datetime(text[:LONGEST_DATE])
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

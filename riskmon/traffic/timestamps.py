"""When a request was made: RFC 3339, or epoch seconds or milliseconds.

Numbers of at least 1e11 are milliseconds: as seconds that would be the year 5138, and as milliseconds the bound is
1973. A date-time without an offset is taken as UTC. Times outside the years 2000 to 2099 are refused, since such a
value is a mistaken unit or an unset clock, and would open a counting window nobody looks at.
"""

from __future__ import annotations

from datetime import UTC, datetime

CERTAIN_FROM, CERTAIN_TO = datetime(2000, 1, 3, tzinfo=UTC), datetime(2099, 12, 30, tzinfo=UTC)
"""Times between these are in range whatever the offset that they are written with."""

_EARLIEST_S = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST_S = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_LEAST_MILLISECONDS = 1e11


def parse_timestamp(value: object) -> datetime | None:
    """Aware UTC time of a message's timestamp; None where it cannot be read or is out of range."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return (
                _in_range(datetime.fromisoformat(text.upper())) if text[4:5] == "-" else _epoch(float(text))
            )
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _epoch(value)
    return None


def _epoch(number: float) -> datetime | None:
    seconds = number / 1000 if number >= _LEAST_MILLISECONDS else number
    # Written so that NaN fails too.
    return datetime.fromtimestamp(seconds, UTC) if _EARLIEST_S <= seconds < _LATEST_S else None


def _in_range(moment: datetime) -> datetime | None:
    if not 2000 <= moment.year < 2100:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

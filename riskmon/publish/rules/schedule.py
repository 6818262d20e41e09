"""How far apart the runs of a crontab are at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# A Monday and the first of a month; far enough to see every gap of a crontab that runs at least once a year.
_START = datetime(2024, 1, 1, tzinfo=UTC)
_END = _START + timedelta(days=2 * 366)
# More runs than a week of minutes has, so that a gap at a week-end is seen.
_RUNS = 8 * 24 * 60


def longest_gap(crontab: str) -> timedelta:
    """The longest time between two runs, in UTC.

    A crontab that runs less than twice in two years is taken to run once in that span.
    """
    from apscheduler.triggers.cron import CronTrigger

    trigger = CronTrigger.from_crontab(crontab, timezone=UTC)
    longest = timedelta(0)
    before = trigger.get_next_fire_time(None, _START)
    for _ in range(_RUNS):
        run = before and trigger.get_next_fire_time(before, before)
        if before is None or run is None or run > _END:
            break
        longest, before = max(longest, run - before), run
    return longest or _END - _START

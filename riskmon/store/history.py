"""What was, as a report or a back-test looks back on it; one transaction per call, as everywhere in the store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from riskmon.records import CycleSummary, Forecast, JudgedWindow
from riskmon.records.report import SampleTally
from riskmon.records.strata import StratumEvent
from riskmon.store import cycles, forecasts, judged, stratum_events, tally
from riskmon.store.database import Database


class History:
    """Past cycles, forecasts and verdicts of a store; reached as `Store.history`.

    Every method raises `StoreUnavailable` when the database cannot be reached or refuses.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def cycles(self, since: datetime) -> list[CycleSummary]:
        """Cycles that finished at `since` or later, the oldest first."""
        return self._database.fetch(cycles.finished, since)

    def unfinished_cycles(self, since: datetime) -> list[datetime]:
        """Starts of cycles that began at `since` or later and have not finished: lost ones, and one under way."""
        return self._database.fetch(cycles.unfinished, since)

    def sample_tally(self, since: datetime) -> SampleTally:
        """How many prompts of windows that start at `since` or later are sampled, estimated, failed, waiting."""
        return self._database.fetch(tally.read, since)

    def forecasts(self, since: datetime, until: datetime) -> list[Forecast]:
        """Forecasts made in [since, until), the oldest first; beyond the retention only totals and a day's first."""
        return self._database.fetch(forecasts.between, since, until)

    def hourly_totals(self, since: datetime) -> list[Forecast]:
        """Totals of 24 hours made at `since` or later, the last of every hour, the oldest first."""
        return self._database.fetch(forecasts.hourly_totals, since)

    def forecasts_nearest(self, moment: datetime, within: timedelta) -> list[Forecast]:
        """All forecasts of the moment nearest to this one, and no further away than `within`; empty without any."""
        return self._database.fetch(forecasts.nearest, moment, within)

    def daily_forecasts(self, since: datetime, until: datetime) -> list[Forecast]:
        """Per harm the first forecast of 24 hours of every UTC day in [since, until), totals and strata."""
        return self._database.fetch(forecasts.daily, since, until)

    def judged_windows(self, since: datetime, harms: Iterable[str] = ()) -> list[JudgedWindow]:
        """Judged production responses of windows that start at `since` or later, with all requests of each.

        One per window, stratum and harm, those without judged responses too: of `harms`, and of any with a verdict.
        """
        return self._database.fetch(judged.read, since, harms)

    def stratum_events(self, since: datetime, until: datetime) -> list[StratumEvent]:
        """Strata that came or went in [since, until), the oldest first, but for those of the first day of counting."""
        return self._database.fetch(stratum_events.between, since, until)

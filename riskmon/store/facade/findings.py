"""What is made of the estimates: forecasts, sensitivity runs, back-tests, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from riskmon.records import Backtest, Forecast, Prompt, VolumeWindow, WeightedEstimate
from riskmon.records.change import Change, VersionChange
from riskmon.records.coverage import CoverageCount
from riskmon.records.sensitivity import SampleKey, SensitivitySummary
from riskmon.store import backtests, changes, coverage, forecasts, prompts, sensitivity, volume, weighted
from riskmon.store.database import Database


class FindingCalls:
    """Calls of forecast, sensitivity and back-test; part of `Store`."""

    _database: Database

    def weighted_estimates(self, since: datetime) -> list[WeightedEstimate]:
        """Estimates of windows that start at `since` or later, each with the requests it stands for."""
        return self._database.fetch(weighted.read, since)

    def coverage(self, since: datetime) -> list[CoverageCount]:
        """The coverage audit of windows that start at `since` or later: per harm its strata, then all together."""
        return self._database.fetch(coverage.read, since)

    def volume(self, since: datetime) -> list[VolumeWindow]:
        """Exact counts of windows that start at `since` or later, in order of time."""
        return self._database.fetch(volume.read, since)

    def write_forecasts(
        self,
        made: Sequence[Forecast],
        by_day: Mapping[str, Change] = MappingProxyType({}),
        by_version: Sequence[VersionChange] = (),
    ) -> None:
        """Stores forecasts with why they changed, replacing what was made at the same moment.

        Args:
            made: of one moment where changes are given.
            by_day: per harm, against a day before. by_version: one version of the model against another.
        """
        with self._database.write() as connection:
            forecasts.write(connection, made)
            if made:
                changes.write(connection, made[0].made_at, by_day, by_version)

    def latest_forecasts(self) -> list[Forecast]:
        """All forecasts made at the newest moment, as written."""
        return self._database.fetch(forecasts.latest)

    def last_forecast_at(self) -> datetime | None:
        """When the newest forecast was made."""
        return self._database.fetch(forecasts.last_made_at)

    def find_prompts(self, keys: Sequence[SampleKey]) -> list[Prompt]:
        """Sampled prompts with their text, in the order of the keys; those that are gone are left out."""
        return self._database.fetch(prompts.find, keys)

    def write_sensitivity(self, summary: SensitivitySummary) -> None:
        """Stores what a run of the sensitivity job found, replacing one that started at the same moment."""
        self._database.apply(sensitivity.write, summary)

    def last_sensitivity(self) -> SensitivitySummary | None:
        """The complete run of the sensitivity job that finished last."""
        return self._database.fetch(sensitivity.last)

    def write_backtests(self, made: Sequence[Backtest], now: datetime) -> None:
        """Stores a back-test in place of the one before."""
        self._database.apply(backtests.write, made, now)

    def backtests(self) -> list[Backtest]:
        """The newest back-test, as written."""
        return self._database.fetch(backtests.read, totals_only=False)

"""Reports in the daemon: when one is due, and its way from the store to all places.

One is due by `report.schedule`; after downtime, where a run was missed; and after a release, that is when the first
cycle of a target with another fingerprint is complete and has been forecast from. The fingerprint is that of the
target's files at the start of the process, since that is when the model was loaded; reading them takes a while and
happens in a thread of its own.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from riskmon import logs
from riskmon.config import Config
from riskmon.errors import DeliveryFailed
from riskmon.records import CycleSummary, Plan
from riskmon.records.report import ReportCause, Versions
from riskmon.reporting.deliver import deliver
from riskmon.reporting.folder import LastReport, recall, remember
from riskmon.reporting.gather import gather
from riskmon.reporting.rendered import render
from riskmon.reporting.versions import read_versions
from riskmon.scheduler import overdue
from riskmon.store import Store

log = logging.getLogger(__name__)

# The clock's own run comes at the due moment; a later look finds what it missed.
_MISSED_AFTER = timedelta(minutes=2)
# A report that reached nobody is tried again no more often than this.
_RETRY_AFTER = timedelta(minutes=5)
_LOOK_S = 0.2


class Reporter:
    """Writes reports for the daemon.

    Args:
        config: with a traffic section.
        count_failure: told the name of a channel that did not take a report.
        stop: a True ends waiting and sending.
        started_at: cycles that began later are of the running target.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        count_failure: Callable[[str], None],
        stop: Callable[[], bool],
        started_at: datetime,
    ) -> None:
        self._store = store
        self._config = config
        self._count_failure = count_failure
        self._stop = stop
        self._started_at = started_at
        self._folder = config.report_folder
        self._last: LastReport | None = None
        self.recall()
        self._tried_at: datetime | None = None
        self._versions: Versions | None = None
        self._reader: threading.Thread | None = None
        self._read = threading.Event()

    @property
    def wanted(self) -> bool:
        """Whether there is any place for reports to go, and any reason to write one."""
        report = self._config.report
        place = self._folder is not None or report.webhook is not None or report.smtp is not None
        return place and (report.schedule is not None or self._heeds_releases)

    @property
    def _heeds_releases(self) -> bool:
        # Without a folder nothing remembers the last release, and every restart would pass for one.
        return self._config.report.on_release and self._folder is not None

    def recall(self) -> None:
        """Read which report the folder had last; another process may have written it."""
        if self._folder is not None:
            self._last = recall(self._folder)

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded; the folder of reports is not among them."""
        self._config = config

    def start(self) -> None:
        """Begin to read versions and fingerprints, once, in a thread that is not waited for at the end."""
        if self._reader is None:
            self._reader = threading.Thread(target=self._read_versions, name="riskmon-versions", daemon=True)
            self._reader.start()

    def due(
        self, now: datetime, cycle: CycleSummary | None, forecast_at: datetime | None
    ) -> ReportCause | None:
        """Why a report is due beside the clock's own runs; None where none is.

        Args:
            cycle: the last complete one. forecast_at: when the newest forecast was made.
        """
        if self._tried_at is not None and now - self._tried_at < _RETRY_AFTER:
            return None
        if self._released(cycle, forecast_at):
            return ReportCause.RELEASE
        schedule = self._config.report.schedule
        missed = (
            schedule is not None
            and self._last is not None
            and overdue(schedule, self._last.made_at, now - _MISSED_AFTER)
        )
        return ReportCause.SCHEDULE if missed else None

    def write(self, now: datetime) -> None:
        """Write a report and deliver it.

        Raises:
            DeliveryFailed: it reached no place at all.
            ConfigError: a judge's calibration cannot be used.
            StoreUnavailable: the store cannot be read.
        """
        self._tried_at = now
        while not self._read.wait(_LOOK_S):
            if self._stop():
                return
        if self._versions is None:
            raise DeliveryFailed(
                "no report was written: the files of the target or of an expert cannot be read"
            )
        snapshot = self._store.snapshot(now)
        released = self._released(snapshot.last_success, snapshot.forecast_at)
        report = gather(
            self._store,
            self._config,
            now,
            cause=ReportCause.RELEASE if released else ReportCause.SCHEDULE,
            versions=self._known_versions,
        )
        rendered = render(report, self._config, self._config.report.formats)
        outcome = deliver(rendered, self._config.report, self._folder, now, self._stop)
        for channel, fault in outcome.failed.items():
            log.error("%s", fault, extra={"job": "report", "channel": channel})
            self._count_failure(channel)
        if outcome.done:
            log.info(
                "report %s written, %s: %s",
                *(rendered.name, report.cause.value, ", ".join(outcome.done)),
                extra={"job": "report", "cause": report.cause.value, "channels": list(outcome.done)},
            )
            # A scheduled report before the first cycle of a new target leaves the release to be reported on.
            before = "" if self._last is None else self._last.fingerprint
            self._note(LastReport(now, self._versions.fingerprint if released else before))
        elif not outcome.abandoned:
            raise DeliveryFailed(f"report {rendered.name} reached no place")

    def _released(self, cycle: CycleSummary | None, forecast_at: datetime | None) -> bool:
        """Whether the running target was never reported on, and its first cycle has been forecast from."""
        return (
            self._heeds_releases
            and self._versions is not None
            and (self._last is None or self._last.fingerprint != self._versions.fingerprint)
            and cycle is not None
            and cycle.started_at >= self._started_at
            and forecast_at is not None
            and forecast_at >= cycle.finished_at
        )

    def _note(self, last: LastReport) -> None:
        self._last = last
        if self._folder is None:
            return
        try:
            remember(self._folder, last)
        except DeliveryFailed as exc:
            log.error("%s; a restart will take the running target for a new release", exc)

    def _known_versions(self, _: Config, plans: Sequence[Plan]) -> Versions:
        assert self._versions is not None  # `write` waits for them
        return dataclasses.replace(self._versions, plans=tuple(plans))

    def _read_versions(self) -> None:
        try:
            self._versions = read_versions(self._config, ())
        except Exception as exc:  # noqa: BLE001 - said where a report is due: log, go on
            log.error("fingerprints could not be read: %s", logs.describe(exc))
        finally:
            self._read.set()

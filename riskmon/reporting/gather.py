"""From store and configuration to the record of a report, all of it as of one moment.

What the store forgets by its retention is missing here too: prompts and estimates reach back `store.retention`, counts
and totals `store.count_retention`. What counters hold is known only since the store was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from riskmon import __version__
from riskmon.config import Config
from riskmon.publish import Facts
from riskmon.records import Plan, VolumeWindow, WeightedEstimate
from riskmon.records.report import DeploymentReport, ReportCause, TrafficReport, Versions
from riskmon.records.sensitivity import SampleKey
from riskmon.reporting.alerts import read_alerts
from riskmon.reporting.contributions import key_of, largest
from riskmon.reporting.counting import count_error
from riskmon.reporting.harms import Measured, Sources, read_harm
from riskmon.reporting.incidents import find_incidents
from riskmon.reporting.limitations import limitations
from riskmon.reporting.redact import excerpt
from riskmon.reporting.trust import judge_trust, worst
from riskmon.reporting.versions import read_versions, scope_of
from riskmon.store import Store

VersionReader = Callable[[Config, Sequence[Plan]], Versions]


def gather(
    store: Store,
    config: Config,
    now: datetime,
    *,
    period: timedelta | None = None,
    cause: ReportCause = ReportCause.REQUEST,
    measured: Measured | None = None,
    versions: VersionReader = read_versions,
) -> DeploymentReport:
    """Everything that a report shows.

    Args:
        now: end of the period, aware UTC.
        period: how far it looks back; not given, `report.period`.
        cause: why it is written.
        measured: what back-test, change and sensitivity have found; not given, what the store holds of it.
        versions: reads versions and fingerprints; a caller that knows them already saves the reading.

    Raises:
        ConfigError: there is no section `traffic`, or a judge's calibration cannot be used.
        StoreUnavailable: the store cannot be read.
    """
    scope = scope_of(config, "report")
    length = config.report.period if period is None else period
    since = now - length
    snapshot, windows = store.snapshot(now), store.volume(since - length)
    found = measured or Measured(snapshot.backtests, snapshot.changes, snapshot.sensitivity)
    span = scope.lookback + scope.window
    # A forecast that is out of date rests on the estimates of its own lookback.
    lookback_start = (snapshot.forecast_at or now) - span
    weighted = store.weighted_estimates(min(since, lookback_start))
    facts = Facts.from_config(config, version=__version__)
    sources = Sources(
        snapshot=snapshot,
        forecasts=facts.current(snapshot),
        coverage=facts.coverage(snapshot),
        totals=store.history.hourly_totals(since - length),
        weighted=weighted,
        since=since,
        length=length,
        lookback_start=lookback_start,
        measured=found,
        excerpts=_excerpts(store, config, [w for w in weighted if w.cell[0] > lookback_start]),
        top_prompts=config.report.top_prompts,
    )
    harms = tuple(
        read_harm(sources, settings, harm)
        for settings, harm in zip(config.all_harms, scope.harms, strict=True)
    )
    tally, cycles = store.history.sample_tally(since), tuple(store.history.cycles(since))
    traffic = TrafficReport(
        requests=_requests(windows, since, now),
        previous_requests=_previous_requests(windows, since, length, scope.window),
        first_window=min((window.start for window in windows), default=None),
        tally=tally,
        counters=snapshot.counters,
        status=snapshot.traffic,
    )
    read, alerts = versions(config, store.plans()), read_alerts(config.report.prometheus, since, now)
    findings = judge_trust(harms, snapshot, tally, config.estimate.schedule, config.forecast.schedule)
    return DeploymentReport(
        made_at=now,
        since=since,
        cause=cause,
        forecast_at=snapshot.forecast_at,
        scope=scope,
        versions=read,
        traffic=traffic,
        harms=harms,
        trust=worst(findings),
        findings=findings,
        cycles=cycles,
        sensitivity=found.sensitivity,
        incidents=find_incidents(
            cycles=cycles,
            unfinished=store.history.unfinished_cycles(since),
            deadline=config.estimate.deadline,
            windows=windows,
            window=scope.window,
            status=snapshot.traffic,
            strata=store.history.stratum_events(since, now),
            since=since,
            now=now,
        ),
        job_failures=snapshot.counters.job_failures,
        alerts=alerts,
        limitations=limitations(
            scope,
            read,
            traffic,
            harms,
            since=since,
            alerts_asked=alerts.asked,
            sensitivity_known=found.sensitivity is not None,
            count_error=count_error(windows, since, now, scope.window, config.require_traffic("report").seek),
        ),
        excerpts=config.report.excerpt_characters,
    )


def _requests(windows: Sequence[VolumeWindow], since: datetime, until: datetime) -> int:
    return sum(window.requests for window in windows if since <= window.start < until)


def _previous_requests(
    windows: Sequence[VolumeWindow], since: datetime, length: timedelta, window: timedelta
) -> int | None:
    """Requests of the period before; None where the counts do not reach back to its first window."""
    first = min((window.start for window in windows), default=None)
    if first is None or first >= since - length + window:
        return None
    return _requests(windows, since - length, since)


def _excerpts(store: Store, config: Config, behind: Sequence[WeightedEstimate]) -> dict[SampleKey, str]:
    """Redacted texts of the prompts that are shown; the text is read only where excerpts are switched on."""
    characters = config.report.excerpt_characters
    if characters == 0:
        return {}
    wanted = {
        key_of(item)
        for harm in config.all_harms
        for item in largest([b for b in behind if b.estimate.harm == harm.name], config.report.top_prompts)
    }
    if not wanted:
        return {}
    # One at a time: a prompt that is gone leaves no place in the answer.
    found = {key: store.find_prompts([key]) for key in wanted}
    return {key: excerpt(prompts[0], characters) for key, prompts in found.items() if prompts}

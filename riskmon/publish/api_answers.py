"""From a snapshot to what the JSON API answers.

In comes a `Snapshot` (None while the store cannot be read) with the static `Facts`; out go the models of
`api_models/`. Only harms and strata of the running configuration are shown, as on the page and in the metrics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from riskmon.publish import hindsight
from riskmon.publish.api_models import (
    Audit,
    BacktestItem,
    ChangeItem,
    Cycle,
    EffectItem,
    EstimatesAnswer,
    ForecastAnswer,
    ForecastItem,
    HarmCheck,
    HarmItem,
    HealthAnswer,
    Interval,
    IntervalCoverage,
    Observed,
    OutlookItem,
    ResponseAudit,
    Spread,
    StrataAnswer,
    StratumEventItem,
    StratumHarm,
    StratumItem,
    StratumRewording,
    Traffic,
    VersionChangeItem,
)
from riskmon.publish.attention import concerns
from riskmon.publish.facts import Facts
from riskmon.records import Backtest, CoverageCount, CycleSummary, Forecast, Snapshot, Stratum
from riskmon.records.change import Change, Effect
from riskmon.records.sensitivity import StratumSensitivity
from riskmon.records.strata import StratumEvent
from riskmon.statistics import upper_limit


def forecast_answer(snapshot: Snapshot, facts: Facts) -> ForecastAnswer:
    """All current forecasts; each harm's total stands before its strata."""
    current = sorted(facts.current(snapshot), key=lambda forecast: forecast.stratum is not None)
    budgets = {harm.name: harm.budget_daily for harm in facts.harms}
    return ForecastAnswer(
        taken_at=snapshot.taken_at,
        made_at=snapshot.forecast_at,
        forecasts=[
            _item(forecast, budgets[harm], snapshot.changes.get(harm))
            for harm in budgets
            for forecast in current
            if forecast.harm == harm
        ],
        outlook=[_outlook(forecast) for forecast in facts.outlook(snapshot)],
        versions=[
            VersionChangeItem(
                harm=one.harm,
                label=one.label,
                before=one.before,
                after=one.after,
                change=_change(one.change),
            )
            for one in snapshot.version_changes
            if one.harm in budgets
        ],
    )


def _change(change: Change) -> ChangeItem:
    return ChangeItem(
        total=_effect(change.total),
        volume=_effect(change.volume),
        mix=_effect(change.mix),
        p=_effect(change.p),
    )


def _effect(effect: Effect) -> EffectItem:
    return EffectItem(mean=effect.mean, lower=effect.low, upper=effect.high)


def _item(forecast: Forecast, budget: float | None, change: Change | None) -> ForecastItem:
    return ForecastItem(
        harm=forecast.harm,
        stratum=None if forecast.stratum is None else forecast.stratum.as_dict(),
        made_at=forecast.made_at,
        expected=forecast.expected,
        lower=forecast.lower,
        upper=forecast.upper,
        any_probability=forecast.any_probability,
        budget_daily=budget if forecast.stratum is None else None,
        daily_requests=forecast.requests,
        harm_probability=forecast.harm_probability,
        harm_probability_upper=forecast.harm_probability_upper,
        worst_query_probability=forecast.worst_query_probability,
        prompts=forecast.prompts,
        hits=forecast.hits,
        basis=forecast.basis,
        change=_change(change) if change is not None and forecast.stratum is None else None,
    )


def _outlook(forecast: Forecast) -> OutlookItem:
    intervals = (
        (0.5, forecast.lower_50, forecast.upper_50),
        (0.9, forecast.lower, forecast.upper),
        (0.99, forecast.lower_99, forecast.upper_99),
    )
    return OutlookItem(
        harm=forecast.harm,
        horizon=forecast.horizon.value,
        made_at=forecast.made_at,
        expected=forecast.expected,
        intervals=[Interval(level=level, lower=lower, upper=upper) for level, lower, upper in intervals],
        any_probability=forecast.any_probability,
        over_budget_probability=forecast.over_budget_probability,
        requests=forecast.requests,
        worst_query_probability=forecast.worst_query_probability,
        retries=forecast.retries,
        retry_probability=forecast.retry_probability,
        retry_probability_upper=forecast.retry_upper,
        variance=None if forecast.variance is None else Spread(**dataclasses.asdict(forecast.variance)),
        unseen_share=forecast.unseen_share,
        sharper=forecast.sharper,
    )


def strata_answer(snapshot: Snapshot, facts: Facts) -> StrataAnswer:
    """The strata of the current forecasts; volume is predicted once, so every harm states the same."""
    order = {harm.name: place for place, harm in enumerate(facts.harms)}
    cells: dict[Stratum, list[Forecast]] = {}
    for forecast in sorted(facts.current(snapshot), key=lambda forecast: order[forecast.harm]):
        if forecast.stratum is not None:
            cells.setdefault(forecast.stratum, []).append(forecast)
    whole = sum(own[0].requests for own in cells.values())
    reworded = {(row.harm, row.stratum): row for row in facts.current_sensitivity(snapshot)}
    items = sorted(cells.items(), key=lambda cell: (-cell[1][0].requests, cell[0]))
    return StrataAnswer(
        taken_at=snapshot.taken_at,
        made_at=snapshot.forecast_at,
        reworded_at=None if snapshot.sensitivity is None else snapshot.sensitivity.finished_at,
        strata=[
            StratumItem(
                stratum=stratum.as_dict(),
                daily_requests=own[0].requests,
                share=own[0].requests / whole if whole > 0 else None,
                basis=own[0].basis,
                harms=[_stratum_harm(forecast, reworded.get((forecast.harm, stratum))) for forecast in own],
            )
            for stratum, own in items
        ],
        vanished=[_event(event) for event in snapshot.strata.vanished],
        events=[_event(event) for event in snapshot.strata.events],
    )


def _event(event: StratumEvent) -> StratumEventItem:
    return StratumEventItem(
        at=event.at,
        change=event.change.value,
        stratum=event.stratum.as_dict(),
        since=event.since,
        share=event.share,
    )


def _stratum_harm(forecast: Forecast, found: StratumSensitivity | None) -> StratumHarm:
    return StratumHarm(
        harm=forecast.harm,
        harm_probability=forecast.harm_probability,
        harm_probability_upper=forecast.harm_probability_upper,
        expected=forecast.expected,
        prompts=forecast.prompts,
        hits=forecast.hits,
        rewording=None
        if found is None
        else StratumRewording(
            prompts=found.prompts,
            worst_amplification=found.worst,
            worst_amplification_lower=found.worst_low,
            worst_amplification_upper=found.worst_high,
            log10_spread=found.log10_spread,
        ),
    )


def estimates_answer(snapshot: Snapshot, facts: Facts) -> EstimatesAnswer:
    """Health of the last cycle and the coverage audit, for every configured harm."""
    return EstimatesAnswer(
        taken_at=snapshot.taken_at,
        cycle=None if snapshot.last_cycle is None else _cycle(snapshot.last_cycle),
        harms=list(_harms(snapshot, facts)),
    )


def _harms(snapshot: Snapshot, facts: Facts) -> Iterator[HarmItem]:
    healths = {} if snapshot.last_cycle is None else {h.harm: h for h in snapshot.last_cycle.health}
    pooled = facts.coverage(snapshot)
    responses = {count.harm: count for count in snapshot.coverage if count.stratum is None}
    for harm in facts.harms:
        health, count = healths.get(harm.name), pooled.get(harm.name)
        outputs, harmful = snapshot.counters.observed.get(harm.name, (0, 0))
        yield HarmItem(
            harm=harm.name,
            judge=harm.judge,
            ess_ratio=health and health.ess_ratio,
            khat=health and health.khat,
            coverage_gap_ratio=health and health.coverage_gap_ratio,
            last_cycle=health and _audit(health.target_draws, health.gap_hits, health.uncovered_upper),
            pooled=count
            and _audit(count.target_draws, count.gap_hits, upper_limit(count.gap_hits, count.target_draws)),
            observed=Observed(
                outputs=outputs,
                harmful=harmful,
                uncovered=snapshot.counters.observed_uncovered.get(harm.name, 0),
            ),
            responses=_responses(responses.get(harm.name), facts),
        )


def _responses(count: CoverageCount | None, facts: Facts) -> ResponseAudit | None:
    if count is None or not count.responses:
        return None
    return ResponseAudit(
        responses=count.responses,
        gap_hits=count.response_gap_hits,
        from_target=facts.responses_from_target,
    )


def _audit(target_draws: int, gap_hits: int, upper: float) -> Audit:
    return Audit(target_draws=target_draws, gap_hits=gap_hits, uncovered_probability_upper=upper)


def _cycle(cycle: CycleSummary) -> Cycle:
    return Cycle(
        started_at=cycle.started_at,
        finished_at=cycle.finished_at,
        complete=cycle.complete,
        prompts=cycle.prompts,
        failures=dict(cycle.failures),
        left_out=cycle.left_out,
        tokens=cycle.tokens,
        device_seconds=cycle.device_seconds,
        weight_mean=cycle.weight_mean,
        path_discrepancy_nats=cycle.path_discrepancy,
    )


def health_answer(
    snapshot: Snapshot | None, facts: Facts, alive: Mapping[str, bool], not_ready: Sequence[str]
) -> HealthAnswer:
    """The state of the process and of what it shows; `snapshot` is None while the store cannot be read."""
    traffic = snapshot.traffic if snapshot else None
    success = snapshot.last_success if snapshot else None
    return HealthAnswer(
        status="dead"
        if not all(alive.values())
        else "not ready"
        if not_ready or snapshot is None
        else "ready",
        reasons=list(not_ready),
        loops=dict(alive),
        store_up=snapshot is not None,
        attention=concerns(snapshot, facts, alive, not_ready),
        forecast_at=snapshot.forecast_at if snapshot else None,
        estimates_at=success.finished_at if success else None,
        traffic=None
        if traffic is None
        else Traffic(
            up=traffic.up, lag_messages=traffic.lag_messages, checked_at=traffic.at, detail=traffic.detail
        ),
        harms=[] if snapshot is None else list(_checks(snapshot, facts)),
    )


def _checks(snapshot: Snapshot, facts: Facts) -> Iterator[HarmCheck]:
    healths = {} if snapshot.last_cycle is None else {h.harm: h for h in snapshot.last_cycle.health}
    tests = {test.harm: test for test in snapshot.backtests}
    for harm in facts.harms:
        health, test = healths.get(harm.name), tests.get(harm.name)
        yield HarmCheck(
            harm=harm.name,
            flagged=None if health is None or health.flagged is None else dict(health.flagged),
            backtest=_backtest(test, snapshot.backtest_at) if test and snapshot.backtest_at else None,
        )


def _backtest(test: Backtest, made_at: datetime) -> BacktestItem:
    return BacktestItem(
        made_at=made_at,
        summary=hindsight.sentence(test),
        forecasts=len(test.rows),
        scored=test.told,
        undecided=test.cannot_tell,
        needed=test.needed,
        above=test.above,
        below=test.below,
        median_error=test.median_error,
        observation_error=test.observation_error,
        intervals=[
            IntervalCoverage(level=each.level, held=each.held, of=each.of, low=each.low, high=each.high)
            for each in test.intervals
        ],
        directions=test.directions,
        directions_right=test.directions_right,
    )

"""The estimate itself: does it come, can it be trusted, and what does it not see?

**Unhealthy** is what makes p unreliable in either direction: heavy or unbalanced weights on many prompts, a mean weight
far from 1, many prompts without an estimate. It silences pages that rest on the estimate. Harm that the proposals miss
does not belong to it: it makes p too low, so that a page on a high p is only more urgent.

**Stale** is measured from the last complete cycle, and only while prompts are sampled: without any there is nothing to
estimate. A riskmon that never completed a cycle has an alert of its own, since it has no time to measure from.

**Uncovered** speaks of harm that only the model's own draws reach: found on many prompts, or bounded no better than the
budget.
"""

from __future__ import annotations

from riskmon.config import RulesConfig
from riskmon.publish import names
from riskmon.publish.names.metric import FLAG
from riskmon.publish.rules.promql import BY_TARGET, ON_HARM, ON_TARGET, Series, duration, seconds
from riskmon.publish.rules.rule import Alert, Group
from riskmon.publish.rules.timing import Timing
from riskmon.records import Flag

_DOUBTFUL_WEIGHTS = (Flag.HEAVY_WEIGHTS, Flag.WEIGHT_MEAN_OFF, Flag.PATH_MISMATCH)


def estimator_group(config: RulesConfig, timing: Timing) -> Group:
    """Alerts on estimate cycles, judges and the device worker."""
    series = Series(config.job)
    return Group(
        "riskmon-estimator",
        (
            *_unhealthy(series, config, timing),
            *_stale(series, config, timing),
            *_uncovered(series, config),
            _judge(series, config, timing),
            _worker(series, config, timing),
        ),
    )


def _unhealthy(series: Series, config: RulesConfig, timing: Timing) -> tuple[Alert, ...]:
    flags = "|".join(_DOUBTFUL_WEIGHTS)
    flagged = series(names.ESTIMATE_FLAGGED, f'{FLAG}=~"{flags}"')
    failed = f"{BY_TARGET} ({series.increase(names.ESTIMATE_FAILURES, timing.cycle)})"
    done = f"{BY_TARGET} ({series.increase(names.ESTIMATE_PROMPTS, timing.cycle)})"

    def alert(reason: str, expression: str, description: str) -> Alert:
        return Alert(
            "RiskmonEstimatorUnhealthy",
            "ticket",
            expression,
            config.health_for,
            "The estimates of harm cannot be trusted at present.",
            f"{description} On {{{{ $labels.instance }}}}.",
            {"reason": reason},
        )

    return (
        alert(
            "flagged",
            f"{flagged}\n/ {ON_TARGET} group_left () {series(names.ESTIMATE_CYCLE_PROMPTS)}"
            f" > {config.unhealthy_share:g}",
            "{{ $labels.harm }}: {{ $value | humanizePercentage }} of the last cycle's prompts carry the flag "
            "{{ $labels.flag }}.",
        ),
        alert(
            "weight_mean",
            f"abs({series(names.ESTIMATE_WEIGHT_MEAN)} - 1) > {config.weight_mean_off:g}",
            "The mean importance weight of the last cycle is {{ $value | humanize }} away from 1.",
        ),
        alert(
            "failed_prompts",
            f"{failed} / ({failed} + {done}) > {config.failed_share:g}",
            f"In the last {duration(timing.cycle)}, {{{{ $value | humanizePercentage }}}} of the prompts could not be "
            "estimated.",
        ),
    )


def _stale(series: Series, config: RulesConfig, timing: Timing) -> tuple[Alert, ...]:
    last = series(names.ESTIMATE_LAST_SUCCESS)
    nothing = f"{series.increase(names.PROMPTS_SAMPLED, timing.estimate_stale)} == 0"
    summary = "The estimate of harm is out of date."
    return (
        Alert(
            "RiskmonEstimateStale",
            "ticket",
            f"time() - {last} > {seconds(timing.estimate_stale)}\nunless {ON_TARGET} {nothing}",
            config.health_for,
            summary,
            "The last complete estimate cycle of {{ $labels.instance }} ended {{ $value | humanizeDuration }} ago.",
            {"reason": "late"},
        ),
        Alert(
            "RiskmonEstimateStale",
            "ticket",
            f"{series(names.STORE_UP)} == 1\nunless {ON_TARGET} {last}\nunless {ON_TARGET} {nothing}",
            timing.estimate_stale,
            summary,
            "{{ $labels.instance }} samples prompts and has never completed an estimate cycle.",
            {"reason": "never"},
        ),
    )


def _uncovered(series: Series, config: RulesConfig) -> tuple[Alert, ...]:
    gap = series(names.ESTIMATE_COVERAGE_GAP_RATIO)
    bound = series(names.UNCOVERED_HARM_PROBABILITY_UPPER)
    requests, budget = series(names.TOTAL_DAILY_REQUESTS), series(names.RISK_BUDGET)
    summary = "There is harm that the proposals do not reach, or there may be."
    return (
        Alert(
            "RiskmonUncoveredHarm",
            "ticket",
            f"{gap} > {config.uncovered_share:g}",
            config.health_for,
            summary,
            "{{ $labels.harm }}: on {{ $value | humanizePercentage }} of the last cycle's prompts the model's own "
            "draws found harm that no proposal reaches, so the forecast may be too low. On {{ $labels.instance }}.",
            {"reason": "found"},
        ),
        Alert(
            "RiskmonUncoveredHarm",
            "ticket",
            f"{bound} * {ON_HARM} {requests} / {ON_HARM} {budget} > {config.uncovered_budget:g}",
            config.uncovered_for,
            summary,
            "{{ $labels.harm }}: so far the draws cannot rule out that harm which no proposal reaches comes to "
            "{{ $value | humanize }} times the budget by itself. On {{ $labels.instance }}.",
            {"reason": "bound"},
        ),
    )


def _judge(series: Series, config: RulesConfig, timing: Timing) -> Alert:
    unreadable = series.increase(names.JUDGE_UNREADABLE_VERDICTS, timing.cycle)
    asked = series.increase(names.JUDGE_VERDICTS, timing.cycle)
    return Alert(
        "RiskmonJudgeFailing",
        "ticket",
        f"{unreadable} / {ON_HARM} {asked} > {config.unreadable_share:g}",
        config.health_for,
        "The judge gives no readable verdict on many answers.",
        "{{ $labels.harm }}: {{ $value | humanizePercentage }} of the verdicts of the last "
        f"{duration(timing.cycle)} cannot be read. On {{{{ $labels.instance }}}}.",
    )


def _worker(series: Series, config: RulesConfig, timing: Timing) -> Alert:
    lost = series.increase(names.WORKER_RESTARTS, timing.cycle)
    return Alert(
        "RiskmonWorkerRestarting",
        "ticket",
        f"{BY_TARGET} ({lost}) >= {config.worker_restarts}",
        None,
        "The process that holds the model is lost again and again.",
        f'The device worker of {{{{ $labels.instance }}}} was lost {{{{ $value | printf "%.0f" }}}} times in '
        f"{duration(timing.cycle)}.",
    )

"""What on the page needs a person, one sentence each, the gravest first.

The page repeats no alert: alerts are Prometheus rules. This list answers the first question of whoever opens the
page: is something wrong, and where?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from riskmon.publish import figures, hindsight
from riskmon.publish.facts import Facts
from riskmon.records import CycleSummary, Snapshot
from riskmon.records.strata import StratumChange

HEAVY_KHAT = 0.7
"""Above this Pareto tail index the reported errors are too small."""

# A vanished stratum with less of the traffic is told of in the metrics and the report.
_LARGE_SHARE = 0.01
_NAMED_STRATA = 5


def concerns(
    snapshot: Snapshot | None, facts: Facts, alive: Mapping[str, bool], not_ready: Sequence[str]
) -> list[str]:
    """Sentences on whatever is wrong; empty when all is well.

    Args:
        snapshot: what is shown; None while the store cannot be read.
        alive: per loop of this process, whether it runs.
        not_ready: reasons why this process is not ready.
    """
    found = [f"The loop '{name}' of this process has stopped." for name, runs in alive.items() if not runs]
    found += [f"Not ready: {reason}" for reason in not_ready]
    found += _unread_settings(facts)
    if snapshot is None:
        return ["The store cannot be read, so there is no forecast to show.", *found]
    found += _over_budget(snapshot, facts)
    found += _late(snapshot, facts)
    if (traffic := snapshot.traffic) is not None and not traffic.up:
        fault = "The traffic source does not answer." if traffic.readers else ""
        found.append(f"{fault} {traffic.detail}".strip())
    found += _mix(snapshot)
    if snapshot.last_cycle is not None:
        found += _unhealthy(snapshot.last_cycle)
    harms = {harm.name for harm in facts.harms}
    found += _missed_in_production(snapshot, harms)
    doubts = [hindsight.doubt(test) for test in snapshot.backtests if test.harm in harms]
    return found + [sentence for sentence in doubts if sentence is not None]


def runs_missed(schedule: str, last: datetime, now: datetime) -> bool:
    """Whether a second run on the crontab `schedule` has come due since `last`: one may still be under way."""
    from apscheduler.triggers.cron import CronTrigger

    trigger = CronTrigger.from_crontab(schedule, timezone=UTC)
    due = trigger.get_next_fire_time(None, last)
    second = due and trigger.get_next_fire_time(due, due)
    return second is not None and second < now


def _unread_settings(facts: Facts) -> Iterator[str]:
    if facts.state.refused:
        yield "The configuration file was refused at the last reload, and the settings from before hold: see the log."
    if facts.state.pending:
        yield f"The configuration file has changes that need a restart: {', '.join(facts.state.pending)}."


def _over_budget(snapshot: Snapshot, facts: Facts) -> Iterator[str]:
    budgets = {harm.name: harm.budget_daily for harm in facts.harms}
    for forecast in facts.current(snapshot):
        budget = budgets[forecast.harm]
        if forecast.stratum is None and budget is not None and forecast.expected > budget:
            yield (
                f"{forecast.harm}: {figures.number(forecast.expected)} harmful outputs are expected, "
                f"the budget is {figures.number(budget)} a day."
            )


def _late(snapshot: Snapshot, facts: Facts) -> Iterator[str]:
    now = snapshot.taken_at
    success = snapshot.last_success
    for what, schedule, last in (
        ("forecast", facts.forecast_schedule, snapshot.forecast_at),
        ("estimate cycle", facts.estimate_schedule, success.finished_at if success else None),
    ):
        if schedule and last is not None and runs_missed(schedule, last, now):
            yield f"The {what} is late: the last one is of {figures.clock(last)}."


def _mix(snapshot: Snapshot) -> Iterator[str]:
    """Strata whose traffic is missing, and a limit that was reached within the last week."""
    vanished = [event for event in snapshot.strata.vanished if (event.share or 0.0) >= _LARGE_SHARE]
    for event in vanished[:_NAMED_STRATA]:
        since = "" if event.since is None else f" since {figures.clock(event.since)}"
        yield (
            f"Stratum {event.stratum} has no traffic{since}; it had {figures.percent(event.share)} of the requests."
        )
    if len(vanished) > _NAMED_STRATA:
        yield f"{len(vanished) - _NAMED_STRATA} more strata have no traffic."
    capped = [event for event in snapshot.strata.events if event.change is StratumChange.CAPPED]
    if capped:
        yield (
            f"A limit of strata was reached {figures.clock(capped[-1].at)}: traffic beyond it is counted in `other` "
            "(traffic.max_strata, traffic.max_label_values)."
        )


def _missed_in_production(snapshot: Snapshot, harms: set[str]) -> Iterator[str]:
    for count in snapshot.coverage:
        if count.stratum is None and count.harm in harms and count.response_gap_hits:
            yield (
                f"{count.harm}: {count.response_gap_hits:,d} of {count.responses:,d} judged production responses show "
                "harm that the proposals miss."
            )


def _unhealthy(cycle: CycleSummary) -> Iterator[str]:
    for health in cycle.health:
        if health.coverage_gap_ratio > 0:
            yield (
                f"{health.harm}: the proposals miss harm on {figures.percent(health.coverage_gap_ratio)} "
                "of the prompts, so the estimate may be too low."
            )
        if health.khat is not None and health.khat > HEAVY_KHAT:
            yield (
                f"{health.harm}: a tail index of {figures.number(health.khat)} (above {HEAVY_KHAT}) "
                "says that the error bars are too small."
            )

"""The last cycle, how far it can be trusted, and the work done so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.family import Family, family, from_zero, timestamp
from riskmon.publish.names.metric import Metric
from riskmon.records import CycleSummary, HarmHealth, Snapshot
from riskmon.statistics import upper_limit

_HEALTH: tuple[tuple[Metric, Callable[[HarmHealth], float | None]], ...] = (
    (names.ESTIMATE_ESS_RATIO, lambda h: h.ess_ratio),
    (names.ESTIMATE_KHAT, lambda h: h.khat),
    (names.ESTIMATE_COVERAGE_GAP_RATIO, lambda h: h.coverage_gap_ratio),
)


def cycles(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The last cycle and the last successful one."""
    if (success := snapshot.last_success) is not None:
        yield family(names.ESTIMATE_LAST_SUCCESS, [((), timestamp(success.finished_at))])
        yield family(names.ESTIMATE_DURATION, [((), success.duration_seconds)])
    if snapshot.last_cycle is not None:
        yield from _health(snapshot.last_cycle, facts)
        yield _uncovered(snapshot, snapshot.last_cycle, facts)


def _health(cycle: CycleSummary, facts: Facts) -> Iterator[Family]:
    harms = {harm.name for harm in facts.harms}
    health = [h for h in cycle.health if h.harm in harms]
    for metric, value in _HEALTH:
        yield family(metric, [((h.harm,), value(h)) for h in health])
    yield family(
        names.ESTIMATE_FLAGGED,
        [((h.harm, flag), count) for h in health for flag, count in (h.flagged or {}).items()],
    )
    yield family(names.ESTIMATE_WEIGHT_MEAN, [((), cycle.weight_mean)])
    yield family(names.ESTIMATE_PATH_DISCREPANCY, [((), cycle.path_discrepancy)])
    yield family(names.ESTIMATE_LEFT_OUT, [((), cycle.left_out)])
    yield family(names.ESTIMATE_CYCLE_PROMPTS, [((), cycle.prompts)])


def _uncovered(snapshot: Snapshot, cycle: CycleSummary, facts: Facts) -> Family:
    """Pooled over all that the store holds; where only the target is drawn from there is no such count."""
    upper = {health.harm: health.uncovered_upper for health in cycle.health}
    upper |= {
        harm: upper_limit(count.gap_hits, count.target_draws)
        for harm, count in facts.coverage(snapshot).items()
    }
    return family(
        names.UNCOVERED_HARM_PROBABILITY_UPPER, [((harm.name,), upper.get(harm.name)) for harm in facts.harms]
    )


def work(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """Counters of prompts, verdicts, tokens and device time, of lost workers and of jobs that failed."""
    harms = [harm.name for harm in facts.harms]
    counters = snapshot.counters
    yield family(names.ESTIMATE_PROMPTS, [((), counters.estimated_prompts)])
    yield family(names.ESTIMATE_FAILURES, from_zero(facts.failure_reasons, counters.estimate_failures))
    yield family(names.ESTIMATE_TOKENS, [((), counters.estimate_tokens)])
    yield family(names.ESTIMATE_DEVICE_SECONDS, [((), counters.estimate_device_seconds)])
    yield family(names.ESTIMATE_PAUSED_SECONDS, [((), counters.estimate_paused_seconds)])
    for place, metric in enumerate((names.JUDGE_VERDICTS, names.JUDGE_UNREADABLE_VERDICTS)):
        verdicts = {harm: pair[place] for harm, pair in counters.verdicts.items() if harm in harms}
        yield family(metric, from_zero(harms, verdicts))
    yield family(names.WORKER_RESTARTS, from_zero(facts.worker_losses, counters.worker_losses))
    yield family(names.JOB_FAILURES, from_zero(facts.jobs, counters.job_failures))

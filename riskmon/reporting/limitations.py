"""What a report cannot say, in sentences that hold for this very report and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from riskmon.publish.figures import exact, number, percent, span
from riskmon.records.report import HarmReport, Scope, TrafficReport, Versions
from riskmon.reporting.counting import CountError


def limitations(
    scope: Scope,
    versions: Versions,
    traffic: TrafficReport,
    harms: tuple[HarmReport, ...],
    *,
    since: datetime,
    alerts_asked: bool,
    sensitivity_known: bool,
    count_error: CountError | None = None,
) -> tuple[str, ...]:
    """The limitations of one report, those of the method first."""
    return (
        *_method(scope, versions),
        *_traffic(traffic, scope, since),
        *_counts(count_error),
        *(sentence for harm in harms for sentence in _harm(harm)),
        *_missing(alerts_asked, sensitivity_known),
    )


def _method(scope: Scope, versions: Versions) -> Iterator[str]:
    yield (
        f"Only the first {exact(scope.max_new_tokens)} tokens of an answer are measured; harm behind them is not seen."
    )
    yield (
        "Answers are drawn anew from the model as it is configured here. Filters before or behind it, tools, and a "
        "sampler that differs from the configured one are outside the number."
    )
    yield (
        "Every request is judged by itself: harm that arises over several turns or by putting answers together is not "
        "measured."
    )
    if not versions.experts:
        yield "No unsafe variant is configured, so harm rarer than the draws can show is bounded and not estimated."
    else:
        yield (
            "Harm that no unsafe variant reaches is found only at the rate of the model's own draws; the coverage "
            "audit bounds it."
        )
    if versions.revision is None and "/" in versions.target:
        yield "The target is a hub id without a pinned revision: that it is what is deployed cannot be checked here."


def _traffic(traffic: TrafficReport, scope: Scope, since: datetime) -> Iterator[str]:
    yield (
        f"The forecast rests on prompts of the last {span(scope.lookback)}. Tomorrow's kinds of prompts are taken to "
        "be like today's."
    )
    if traffic.first_window is None:
        yield "No request has been counted yet."
    elif traffic.first_window > since:
        yield f"Counts begin {span(traffic.first_window - since)} after the period does."
    if traffic.tally.waiting:
        yield (
            f"{exact(traffic.tally.waiting)} of {exact(traffic.tally.sampled)} sampled prompts of the period have no "
            "estimate yet; the estimated ones stand for them."
        )
    rejected = sum(traffic.counters.rejected.values())
    if rejected:
        yield f"{exact(rejected)} messages could not be read since the store was made, and are in no number."


def _counts(error: CountError | None) -> Iterator[str]:
    if error is None:
        return
    spread = "" if error.strata == 1 else f", at most {percent(error.median)} for half of the strata"
    yield (
        "Requests were counted from random ranges of the topic, so the count of a stratum is an estimate. Its standard "
        f"error is {percent(error.largest)} of the requests for {error.stratum}, which is known worst (95% limits "
        f"{exact(error.low)} to {exact(error.high)}){spread}. "
        "A stratum of which no range held a request is missing."
    )


def _harm(harm: HarmReport) -> Iterator[str]:
    name, total = harm.scope.name, harm.total
    if harm.judge is None:
        yield (
            f"{name}: harmful means that the judge {harm.scope.judge} says so. Its errors were never measured, so the "
            "number is a rate of flags and not of harm."
        )
    if total is None:
        return
    if harm.coverage is not None and total.requests > 0:
        yield (
            f"{name}: harm that the unsafe variants miss is bounded by {number(harm.coverage.upper)} a request, which "
            f"over the predicted traffic would be up to {number(harm.coverage.upper * total.requests)} a day."
        )
    if total.worst_query_probability is None:
        yield f"{name}: no figure for the worst query is given."
    if harm.scope.budget_daily is None:
        yield f"{name}: without a configured budget nothing says whether the number is acceptable."


def _missing(alerts_asked: bool, sensitivity_known: bool) -> Iterator[str]:
    if not sensitivity_known:
        yield "How far the numbers move under harmless rewordings of the prompts has not been measured."
    if not alerts_asked:
        yield "No Prometheus is configured for reports, so alerts of the period are not listed."

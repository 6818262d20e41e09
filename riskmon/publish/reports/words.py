"""The sentences of a report, the same in every format.

The summary is for a manager who reads for twenty seconds: how many against how many allowed, which way it goes and why,
and whether that can be relied on.
"""

from __future__ import annotations

from datetime import timedelta

from riskmon.publish.figures import UNKNOWN, chance, clock, exact, number, signed, span
from riskmon.records import Forecast, Horizon, Stratum
from riskmon.records.backtest import Backtest
from riskmon.records.change import Change, Effect
from riskmon.records.report import (
    AlertLog,
    BudgetVerdict,
    DeploymentReport,
    HarmReport,
    ReportCause,
    Scope,
    Trust,
)

TRUST = {
    Trust.SOUND: "Nothing known speaks against these figures",
    Trust.CAUTION: "Use these figures with care",
    Trust.DOUBT: "Do not decide by these figures",
}
CAUSES = {
    ReportCause.REQUEST: "on request",
    ReportCause.SCHEDULE: "on schedule",
    ReportCause.RELEASE: "after a release, as the first report on this target",
}
HORIZONS = {Horizon.TODAY: "today", Horizon.DAY: "next 24 h", Horizon.WEEK: "next 7 days"}
PARTS = {
    "volume": "traffic",
    "prompts": "which prompts were sampled",
    "samples": "draws of each prompt",
    "judge": "the judge's errors",
    "chance": "chance",
}
REFUSED = (
    "refused: fewer than ten prompts with harm, a reach of more than three orders of magnitude, or no stable line "
    "through the largest ten"
)
EXCERPT_NOTE = (
    "Excerpts are text of production, as users wrote it. Digits and e-mail addresses are masked; names and what people "
    "tell of themselves are not. Handle this report like the prompts themselves."
)
HEAT_LEGEND = (
    "Mean probability of harm by stratum and UTC day, as judged. Each shade is about a third of the next darker one; a "
    "dash is a day without an estimated prompt."
)
RESPONSES_COUNT = (
    "Production responses are among these draws where the configuration says that they are the model's own "
    "(traffic.responses.from_target)."
)
SIGN_OFF = ("ship", "hold", "investigate")


def title(report: DeploymentReport) -> str:
    """Of the document."""
    return f"Deployment report: {report.versions.target}"


def written(report: DeploymentReport) -> str:
    """By what and why."""
    return f"Written by riskmon {report.versions.riskmon} {CAUSES[report.cause]}."


def stratum(value: Stratum | None) -> str:
    """The values of its labels, whose names a table's head gives; None is every stratum without its own."""
    if value is None:
        return "all others"
    return ", ".join(text or "(empty)" for _, text in value.labels) or "all traffic"


def subject(report: DeploymentReport) -> str:
    """One line for a mail or a chat: the target and each harm's verdict."""
    verdicts = [f"{harm.scope.name}: {verdict(harm).lower()}" for harm in report.harms]
    return f"riskmon, {report.versions.target}: {'; '.join(verdicts)}"


def verdict(harm: HarmReport) -> str:
    """The forecast against its budget, in a few words."""
    total, budget = harm.total, harm.scope.budget_daily
    if total is None:
        return "No forecast yet"
    if budget is None:
        return "No budget configured"
    if harm.verdict is BudgetVerdict.OVER:
        return f"Over budget by a factor of {number(total.expected / budget)}"
    if harm.verdict is BudgetVerdict.REACHES:
        return "Within budget, but the interval reaches beyond"
    return "Within budget"


def headline(harm: HarmReport) -> str:
    """What is expected, with the interval and the budget."""
    total = harm.total
    if total is None:
        return "There is no forecast yet. It comes after the first estimate cycle."
    budget = harm.scope.budget_daily
    allowed = "" if budget is None else f"; the budget is {number(budget)} a day"
    return (
        f"{number(total.expected)} harmful outputs expected in the next 24 h "
        f"(90%: {number(total.lower)} to {number(total.upper)}){allowed}."
    )


def direction(harm: HarmReport) -> str:
    """Which way the forecast went since a period ago; empty without a forecast."""
    total, before = harm.total, harm.previous
    if total is None:
        return ""
    if before is None:
        return "No earlier forecast to compare with."
    when = f"{span(total.made_at - before.made_at)} ago"
    overlap = before.lower <= total.upper and total.lower <= before.upper
    apart = "the intervals overlap" if overlap else "the intervals do not overlap"
    if before.expected <= 0:
        return f"None were expected {when}; {apart}."
    change = percent_change(total.expected, before.expected)
    return f"{number(before.expected)} were expected {when}, so {change}; {apart}."


def why(harm: HarmReport) -> str:
    """What the change comes from; empty where nothing can be compared."""
    if harm.change is not None:
        return change_sentence(harm.change)
    total, before = harm.total, harm.previous
    if total is None or before is None or before.requests <= 0 or before.harm_probability <= 0:
        return ""
    return (
        f"Since then requests {percent_change(total.requests, before.requests)}, harm per request "
        f"{percent_change(total.harm_probability, before.harm_probability)}; mix and model are not told apart yet."
    )


def change_sentence(change: Change) -> str:
    """The parts of the change since the day before, the largest first."""
    parts = sorted(
        (("volume", change.volume), ("mix", change.mix), ("model", change.p)),
        key=lambda part: -abs(part[1].mean),
    )
    listed = ", ".join(f"{name} {signed(effect.mean)}" for name, effect in parts)
    return f"Since the day before {signed(change.total.mean)}, mostly {parts[0][0]}: {listed}."


def effect(part: Effect) -> str:
    """A part of a change with its 90% limits, where they are known."""
    if part.low is None or part.high is None:
        return signed(part.mean)
    return f"{signed(part.mean)} ({signed(part.low)} to {signed(part.high)})"


def worst_query(forecast: Forecast) -> str:
    """The worst query, or why there is no figure."""
    found = forecast.worst_query_probability
    return REFUSED if found is None else number(found)


def retry_risk(forecast: Forecast) -> str:
    """What asking again does; empty where it is unknown."""
    if forecast.retries is None:
        return ""
    return (
        f"Harm among {forecast.retries} answers to one prompt: {number(forecast.retry_probability)} "
        f"({interval(forecast.retry_lower, forecast.retry_upper)}), as a mean over the traffic."
    )


def over_budget(forecast: Forecast) -> str:
    """P(over budget)."""
    return chance(forecast.over_budget_probability)


def interval(low: float | None, high: float | None) -> str:
    """`2 to 13`; a dash where it is unknown."""
    return UNKNOWN if low is None or high is None else f"{number(low)} to {number(high)}"


def percent_change(now: float, before: float) -> str:
    """`+31%`, `−4%`, or `× 12` where a percentage would be hard to read."""
    ratio = now / before
    if ratio >= 10:
        return f"× {number(ratio)}"
    rounded = round(100 * (ratio - 1))
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded)}%"


def estimand(scope: Scope) -> str:
    """What is estimated."""
    sampler = (
        f"temperature {number(scope.temperature)}, top-p {number(scope.top_p)}, top-k {exact(scope.top_k)}"
    )
    return (
        "For every production prompt, the probability that the deployed model answers it harmfully, over its own "
        f"random answers ({sampler}, min-p {number(scope.min_p)}, the first {exact(scope.max_new_tokens)} tokens), "
        "weighted with the requests that each sampled prompt stands for and multiplied by the predicted traffic."
    )


def backtest(found: Backtest | None) -> str:
    """What past forecasts were worth."""
    if found is None or not found.rows:
        note = f": {found.note}" if found is not None and found.note else ""
        return f"No past forecast has been held against judged production responses yet{note}."
    error = (
        f"median error {number(found.median_error)}×"
        if found.median_error is not None
        else "too few harmful responses to state an error"
    )
    return (
        f"{exact(len(found.rows))} forecasts compared, {exact(found.told)} of them with enough responses to tell: "
        f"{error}; {exact(found.above)} came out above their 90% interval, {exact(found.below)} below."
    )


def alerts(log: AlertLog) -> str:
    """What is known of alerts."""
    if not log.asked:
        return "No Prometheus is configured for reports (report.prometheus), so alerts are not listed."
    if log.error:
        return f"Alerts are not listed: {log.error}."
    if not log.alerts:
        return "No alert whose name begins with Riskmon fired in the period."
    return f"Looked at every {span(max(log.step, timedelta(seconds=1)))}; shorter alerts are not seen."


def period(report: DeploymentReport) -> str:
    """The span looked at."""
    return f"{clock(report.since)} to {clock(report.made_at)}"

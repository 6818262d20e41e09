"""The forecast against the budget, and against its own trailing level.

**Over budget.** The expected number and the probability of exceeding, both, for several forecasts on end.

**Spike.** With V requests a day and mean probability p, the forecast V p is held against the medians of V and p over
the trailing window, stratum by stratum:

    p      = p / q                     q: trailing p of each stratum, at the present mix
    mix    = q / trailing p
    volume = V / trailing V            p * mix * volume = V p / trailing (V p)

A stratum without a trailing level is new, and counts as mix. The label `driver` names what exceeds the factor by
itself, or the largest of the three where only their product does. A page wants evidence too: the lower end of the 90%
prediction interval above the trailing level. Volume alone never pages: it makes more of the same.

A page has a ticket beside it with a weaker condition. So a page can be silenced while the estimator is not to be
trusted, and the ticket still tells.
"""

from __future__ import annotations

from riskmon.config import RulesConfig
from riskmon.publish import names
from riskmon.publish.names.metric import Metric
from riskmon.publish.rules.promql import BY_HARM, ON_HARM, PER_HARM, Series, duration, value_of
from riskmon.publish.rules.rule import Alert, Group, Recording, Severity
from riskmon.publish.rules.timing import Timing

TRAILING_P = "instance_harm:riskmon_total_harm_probability:trailing"
TRAILING_REQUESTS = "instance_harm:riskmon_forecast_total_daily_requests:trailing"
TRAILING_OUTPUTS = "instance_harm:riskmon_forecast_total_daily_harmful_outputs:trailing"
TRAILING_STRATUM_P = "stratum_harm:riskmon_harm_probability:trailing"
TRAILING_P_PRESENT_MIX = "instance_harm:riskmon_total_harm_probability:trailing_at_present_mix"
SPIKE = "instance_harm:riskmon_forecast_total_daily_harmful_outputs:spike_ratio"
SPIKE_BY_DRIVER = "instance_harm_driver:riskmon_forecast_total_daily_harmful_outputs:spike_ratio"
BUDGET_RATIO = "instance_harm:riskmon_forecast_total_daily_harmful_outputs:budget_ratio"

_LEAST_POINTS = 12


def risk_group(config: RulesConfig, timing: Timing) -> Group:
    """Recordings and alerts on the forecast."""
    series = Series(config.job)
    return Group(
        "riskmon-risk",
        (
            *_trailing(series, config, timing),
            *_drivers(series),
            Recording(
                BUDGET_RATIO,
                f"{series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} / {ON_HARM} {series(names.RISK_BUDGET)}",
            ),
            _over_budget(series, timing, "page", config.page_probability),
            _over_budget(series, timing, "ticket", config.ticket_probability),
            *_spikes(series, config, timing),
            _stratum_spike(series, config, timing),
        ),
    )


def _trailing(series: Series, config: RulesConfig, timing: Timing) -> tuple[Recording, ...]:
    # One point per forecast is enough, and keeps a day of many strata cheap.
    step = min(timing.forecast_gap, config.trailing_window / _LEAST_POINTS)
    span = f"[{duration(config.trailing_window)}:{duration(step)}]"

    def median(metric: Metric) -> str:
        return f"quantile_over_time(0.5, {series(metric)}{span})"

    return (
        Recording(TRAILING_P, median(names.TOTAL_HARM_PROBABILITY)),
        Recording(TRAILING_REQUESTS, median(names.TOTAL_DAILY_REQUESTS)),
        Recording(TRAILING_STRATUM_P, median(names.HARM_PROBABILITY)),
        Recording(TRAILING_OUTPUTS, f"{series(TRAILING_P)} * {ON_HARM} {series(TRAILING_REQUESTS)}"),
    )


def _drivers(series: Series) -> tuple[Recording, ...]:
    requests = series(names.DAILY_REQUESTS)
    known = f"({series(TRAILING_STRATUM_P)} or {series(names.HARM_PROBABILITY)})"

    def driver(name: str, now: str, before: str) -> Recording:
        return Recording(SPIKE_BY_DRIVER, f"{series(now)} / {ON_HARM} {series(before)}", {"driver": name})

    return (
        Recording(TRAILING_P_PRESENT_MIX, f"{BY_HARM} ({requests} * {known})\n/ {BY_HARM} ({requests})"),
        driver("p", names.TOTAL_HARM_PROBABILITY.name, TRAILING_P_PRESENT_MIX),
        driver("mix", TRAILING_P_PRESENT_MIX, TRAILING_P),
        driver("volume", names.TOTAL_DAILY_REQUESTS.name, TRAILING_REQUESTS),
        Recording(
            SPIKE,
            f"{series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} / {ON_HARM} {series(TRAILING_OUTPUTS)}",
        ),
    )


def _over_budget(series: Series, timing: Timing, severity: Severity, probability: float) -> Alert:
    over = value_of(names.TOTAL_DAILY_OVER_BUDGET_PROBABILITY, form="humanizePercentage")
    return Alert(
        "RiskmonForecastOverBudget",
        severity,
        f"{series(BUDGET_RATIO)} > 1\n"
        f"and {ON_HARM} {series(names.TOTAL_DAILY_OVER_BUDGET_PROBABILITY)} >= {probability:g}",
        timing.sustained,
        "More harmful outputs are expected in the next 24 hours than the budget allows.",
        f"{{{{ $labels.harm }}}}: {value_of(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} harmful outputs are expected in the "
        f"next 24 hours (90% interval {value_of(names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER)} to "
        f"{value_of(names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER)}), {{{{ $value | humanize }}}} times the budget; "
        f"the probability of exceeding it is {over}. On {{{{ $labels.instance }}}}.",
    )


def _spikes(series: Series, config: RulesConfig, timing: Timing) -> tuple[Alert, ...]:
    factor = f"{config.spike_factor:g}"
    enough = f"and {ON_HARM} {series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} >= {config.spike_minimum:g}"
    evidence = f"and {ON_HARM} {series(names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER)} > {ON_HARM} {series(TRAILING_OUTPUTS)}"
    risk = series(SPIKE_BY_DRIVER, 'driver=~"p|mix"')
    every = series(SPIKE_BY_DRIVER)
    largest = f"{ON_HARM} group_left () max by ({', '.join(PER_HARM)}) ({every})"

    def whole(chosen: str) -> str:
        return f"{chosen} == {largest} and {ON_HARM} {series(SPIKE)} > {factor}"

    page = f"(\n  {risk} > {factor}\n  or {whole(risk)}\n)\n{enough}\n{evidence}"
    ticket = f"(\n  {risk} > {factor}\n  or {whole(every)}\n)\n{enough}"
    summary = "The risk of harmful outputs rose far above its own trailing level."
    description = (
        f"{{{{ $labels.harm }}}}: {value_of(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} harmful outputs are expected in the "
        f"next 24 hours, against {value_of(TRAILING_OUTPUTS)} over the last {duration(config.trailing_window)}. "
        '{{ if eq $labels.driver "p" }}The same requests are answered more harmfully'
        '{{ else if eq $labels.driver "mix" }}The mix of requests became riskier'
        "{{ else }}There are more requests, answered as harmfully as before{{ end }}: driver {{ $labels.driver }} is "
        "{{ $value | humanize }} times its trailing level. On {{ $labels.instance }}."
    )
    return (
        Alert("RiskmonRiskSpike", "page", page, timing.sustained, summary, description),
        Alert("RiskmonRiskSpike", "ticket", ticket, timing.sustained, summary, description),
    )


def _stratum_spike(series: Series, config: RulesConfig, timing: Timing) -> Alert:
    p, before = series(names.HARM_PROBABILITY), series(TRAILING_STRATUM_P)
    requests = series(names.DAILY_REQUESTS)
    return Alert(
        "RiskmonStratumRiskSpike",
        "ticket",
        f"{p} / {before} > {config.spike_factor:g}\n"
        f"and {requests} * ({p} - {before}) >= {config.spike_minimum:g}\n"
        f"and {series(names.DAILY_HARMFUL_OUTPUTS_LOWER)} > {requests} * {before}",
        timing.sustained,
        "One stratum is answered far more harmfully than before.",
        "{{ $labels.harm }}: the probability of harm is {{ $value | humanize }} times that of the last "
        f"{duration(config.trailing_window)} in the stratum"
        "{{ range $name, $text := $labels }}"
        '{{ if not (match "^(job|instance|harm)$" $name) }} {{ $name }}={{ $text }}{{ end }}{{ end }}. '
        "On {{ $labels.instance }}.",
    )

"""Observed harm against the budget, over two windows at once, after the Google SRE workbook, chapter 5.

Judged responses are a sample of production, equally many per stratum and window whatever the traffic, so their counts
are no counts of a day. With h harmful among n judged responses of a stratum, and V its predicted requests of a day,

    burn  = (sum_s V_s h_s / n_s) / (sum_s V_s) * V / budget       sums over strata with judged responses
    lower = the same with sum_s V_s h_s / n_s - 1.645 sqrt(sum_s V_s^2 h_s / n_s^2)

that is, budgets per day at the present rate, and its one-sided 95% limit by the variance of the counts. The long window
must show it by the limit, so that one harmful response among few is no alert; the short one says that it goes on.

Responses are judged in estimate cycles. A window shorter than the longest time between two cycles is mostly empty, and
is lengthened to it. A budget is one of a day; the workbook's factors for 30 days hold as they are, since 30 daily
budgets are the budget of 30 days.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from riskmon.config import RulesConfig
from riskmon.publish import names
from riskmon.publish.rules.promql import BY_HARM, ON_HARM, Series, duration
from riskmon.publish.rules.rule import Alert, Group, Recording, Severity
from riskmon.publish.rules.timing import Timing

_INTERVAL = timedelta(minutes=5)
_Z = 1.645
_BURN = "instance_harm:riskmon_observed_stratum_harmful_outputs:burn"
_LOWER = "instance_harm:riskmon_observed_stratum_harmful_outputs:burn_lower"

_Window = tuple[timedelta, timedelta, float, Severity]


def burn_group(config: RulesConfig, timing: Timing) -> Group:
    """Recordings per window, and one alert per pair of windows."""
    series = Series(config.job)
    windows = list(_lengthened(config, timing))
    shorts = dict.fromkeys(short for short, _, _, _ in windows)
    longs = dict.fromkeys(long for _, long, _, _ in windows)
    return Group(
        "riskmon-burn",
        (
            *(_burn(series, window) for window in shorts),
            *(_lower(series, window) for window in longs),
            *(_alert(series, window) for window in windows),
        ),
        _INTERVAL,
    )


def _lengthened(config: RulesConfig, timing: Timing) -> Iterable[_Window]:
    """The windows as they are used; of those that became equal the one with the smallest factor tells all."""
    kept: dict[tuple[timedelta, Severity], _Window] = {}
    for *spans, factor, severity in sorted(config.burn_windows, key=lambda window: -window[2]):
        short, long = (max(span, timing.cycle) for span in spans)
        kept[long, severity] = (short, long, factor, severity)
    return kept.values()


def _recorded(name: str, window: timedelta) -> str:
    return f"{name}_{duration(window)}"


def _burn(series: Series, window: timedelta) -> Recording:
    return Recording(_recorded(_BURN, window), _scaled(series, window, _per_day(series, window)))


def _lower(series: Series, window: timedelta) -> Recording:
    requests, judged, harmful = _parts(series, window)
    variance = f"{BY_HARM} (({requests} / {judged}) ^ 2 * {harmful})"
    low = f"({_per_day(series, window)} - {_Z} * sqrt({variance}))"
    return Recording(_recorded(_LOWER, window), _scaled(series, window, low))


def _parts(series: Series, window: timedelta) -> tuple[str, str, str]:
    """Requests of a day, judged responses where there are any, and harmful ones, each by stratum."""
    return (
        series(names.DAILY_REQUESTS),
        f"({series.increase(names.OBSERVED_STRATUM_OUTPUTS, window)} > 0)",
        series.increase(names.OBSERVED_STRATUM_HARMFUL_OUTPUTS, window),
    )


def _per_day(series: Series, window: timedelta) -> str:
    requests, judged, harmful = _parts(series, window)
    return f"{BY_HARM} ({requests} * {harmful} / {judged})"


def _scaled(series: Series, window: timedelta, outputs: str) -> str:
    """From the strata with judged responses to all, in budgets."""
    requests, judged, _ = _parts(series, window)
    return (
        f"{outputs}\n/ {BY_HARM} ({requests} and {judged})\n"
        f"* {ON_HARM} {series(names.TOTAL_DAILY_REQUESTS)}\n/ {ON_HARM} {series(names.RISK_BUDGET)}"
    )


def _alert(series: Series, window: _Window) -> Alert:
    short, long, factor, severity = window
    return Alert(
        "RiskmonObservedBurn",
        severity,
        f"{series(_recorded(_BURN, short))} > {factor:g}\n"
        f"and {ON_HARM} {series(_recorded(_LOWER, long))} > {factor:g}",
        None,
        "Judged production responses show more harm than the budget allows.",
        f"{{{{ $labels.harm }}}}: at the rate of the responses judged in the last {duration(short)}, a day brings "
        f"{{{{ $value | humanize }}}} times the budget; over {duration(long)} more than {factor:g} times is beyond "
        "chance. On {{ $labels.instance }}.",
        {"window": duration(long)},
    )

"""riskmon itself: is it there, does it forecast, do its jobs run, and did its forecasts hold?"""

from __future__ import annotations

from datetime import timedelta

from riskmon.config import RulesConfig
from riskmon.publish import names
from riskmon.publish.names.metric import TASK
from riskmon.publish.rules.promql import ON_HARM, ON_TARGET, Series, duration, seconds
from riskmon.publish.rules.rule import Alert, Group
from riskmon.publish.rules.timing import Timing

# Jobs that run at least once an hour, in most configurations; of the others a single failure is worth a look.
_FREQUENT = ("intake", "load", "estimate", "forecast", "back-test", "purge", "catch-up")
_FREQUENT_OVER = timedelta(hours=1)
_RARE_OVER = timedelta(days=1)
# The intake writes every two seconds, and at most every fifteen while the source is away; a write that waits for its
# turn is given up after half a minute.
_WRITE_OVERDUE = timedelta(minutes=1)
_WRITE_LATE = timedelta(seconds=5)  # the intake writes every two
# A single day may come out above its interval by chance.
_DAYS_ABOVE = 1


def itself_group(config: RulesConfig, timing: Timing) -> Group:
    """Alerts on the process, its store and its jobs, and on the back-test."""
    series = Series(config.job)
    return Group(
        "riskmon-itself",
        (
            _absent(config),
            *_store_down(series, config),
            _forecast_stale(series, config, timing),
            _jobs(series, config),
            _reload_failed(series, config),
            _too_low(series, config),
        ),
    )


def _absent(config: RulesConfig) -> Alert:
    up = f'up{{job="{config.job}"}}'
    return Alert(
        "RiskmonAbsent",
        "ticket",
        f"{up} == 0\nor absent({up})",
        config.health_for,
        "riskmon is not scraped.",
        "No forecast is published{{ with $labels.instance }} by {{ . }}{{ end }}, and no other alert of riskmon can "
        "fire.",
    )


def _store_down(series: Series, config: RulesConfig) -> tuple[Alert, ...]:
    overdue = max(_WRITE_LATE, min(_WRITE_OVERDUE, config.health_for))
    summary = "riskmon cannot use its store."
    return (
        Alert(
            "RiskmonStoreDown",
            "ticket",
            f"{series(names.STORE_UP)} == 0",
            config.health_for,
            summary,
            "The store of {{ $labels.instance }} cannot be read, so no forecast is published and nothing is counted.",
            {"reason": "unreadable"},
        ),
        Alert(
            "RiskmonStoreDown",
            "ticket",
            f"time() - {series(names.STORE_LAST_WRITE)} > {seconds(overdue)}",
            config.health_for,
            summary,
            "The store of {{ $labels.instance }} has taken no write for {{ $value | humanizeDuration }}, so nothing is "
            "counted and no forecast is made; those shown are old.",
            {"reason": "unwritable"},
        ),
    )


def _forecast_stale(series: Series, config: RulesConfig, timing: Timing) -> Alert:
    last = series(names.FORECAST_LAST_SUCCESS)
    never = f"{series(names.ESTIMATE_LAST_SUCCESS)} unless {ON_TARGET} {last}"
    age = f"time() - {last} > {seconds(timing.forecast_stale)}"
    # Where there are estimates and no forecast at all, the age is counted from the estimates.
    return Alert(
        "RiskmonForecastStale",
        "ticket",
        f"{age}\nor time() - ({never}) > {seconds(timing.forecast_stale)}",
        config.health_for,
        "The forecast is out of date.",
        "{{ $labels.instance }} has made no forecast for {{ $value | humanizeDuration }}; what it shows is old.",
    )


def _jobs(series: Series, config: RulesConfig) -> Alert:
    frequent = "|".join(_FREQUENT)
    often = series.increase(names.JOB_FAILURES, _FREQUENT_OVER, f'{TASK}=~"{frequent}"')
    rarely = series.increase(names.JOB_FAILURES, _RARE_OVER, f'{TASK}!~"{frequent}"')
    return Alert(
        "RiskmonJobFailing",
        "ticket",
        f"{often} >= {config.job_failures}\nor {rarely} > 0",
        None,
        "A scheduled job of riskmon fails, or is skipped because its last run still works.",
        'The job {{ $labels.task }} of {{ $labels.instance }} failed or was skipped {{ $value | printf "%.0f" }} times '
        f"in {duration(_FREQUENT_OVER)}, or in {duration(_RARE_OVER)} where it runs rarely.",
    )


def _reload_failed(series: Series, config: RulesConfig) -> Alert:
    return Alert(
        "RiskmonConfigReloadFailed",
        "ticket",
        f"{series(names.CONFIG_RELOAD_SUCCESSFUL)} == 0",
        config.health_for,
        "riskmon refused its configuration when it was asked to reload it.",
        "{{ $labels.instance }} goes on with the settings from before, and would not start with the file as it is.",
    )


def _too_low(series: Series, config: RulesConfig) -> Alert:
    above = series(names.BACKTEST_ABOVE)
    days = f"({series(names.BACKTEST_SCORED)} + {ON_HARM} {series(names.BACKTEST_UNDECIDED)})"
    return Alert(
        "RiskmonForecastsTooLow",
        "ticket",
        f"{above} > {_DAYS_ABOVE}\nand {above} / {ON_HARM} {days} > {config.too_low_share:g}",
        config.health_for,
        "Production responses show more harm than was forecast.",
        "{{ $labels.harm }}: on {{ $value }} of the last 30 days production responses showed more harm than the 90% "
        "interval of the forecast allows. On {{ $labels.instance }}.",
    )

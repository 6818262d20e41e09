"""The traffic: does the source answer, is it read in time, and can what is read be used?"""

from __future__ import annotations

from datetime import timedelta

from riskmon.config import RulesConfig
from riskmon.publish import names
from riskmon.publish.rules.promql import BY_TARGET, ON_TARGET, Series, duration, seconds
from riskmon.publish.rules.rule import Alert, Group

# The intake looks every two seconds, and at most every fifteen while the source is away.
_CHECK_OVERDUE = timedelta(minutes=5)
_REJECTED_OVER = timedelta(hours=1)


def intake_group(config: RulesConfig) -> Group:
    """Alerts on the source and on what is read from it."""
    series = Series(config.job)
    lag = series(names.KAFKA_LAG)
    # Between two steps all that comes is uncounted, however much it is.
    seeks = series(names.INTAKE_INFO, 'mode="seek"')
    rejected = f"{BY_TARGET} ({series.increase(names.PROMPTS_REJECTED, _REJECTED_OVER)})"
    consumed = series.increase(names.PROMPTS_CONSUMED, _REJECTED_OVER)
    return Group(
        "riskmon-intake",
        (
            Alert(
                "RiskmonKafkaDown",
                "ticket",
                f"{series(names.KAFKA_UP)} == 0\n"
                f"or time() - {series(names.KAFKA_LAST_CHECK)} > {seconds(_CHECK_OVERDUE)}",
                config.health_for,
                "riskmon reads no traffic.",
                "The traffic source of {{ $labels.instance }} does not answer, or is no longer asked.",
            ),
            Alert(
                "RiskmonIngestLagging",
                "ticket",
                f"{lag} > {config.lag_messages}\nunless {ON_TARGET} {seeks}",
                config.lag_for,
                "riskmon reads traffic more slowly than it comes.",
                "{{ $labels.instance }} has {{ $value | humanize }} unread messages, and has had more than "
                f"{config.lag_messages:,} for {duration(config.lag_for)}.",
            ),
            Alert(
                "RiskmonMessagesRejected",
                "ticket",
                f"{rejected} / {ON_TARGET} {consumed} > {config.rejected_share:g}",
                config.health_for,
                "Many messages of the traffic cannot be used.",
                "{{ $value | humanizePercentage }} of the messages of the last "
                f"{duration(_REJECTED_OVER)} were rejected. On {{{{ $labels.instance }}}}.",
            ),
        ),
    )

"""The alerts of a period, from the series `ALERTS` of a Prometheus.

Prometheus keeps one sample per evaluation of a rule while its alert fires. A range query returns them at equal steps,
and samples without a hole of more than two steps are one stretch. Alerts shorter than a step are not seen. Only alerts
whose name begins with `Riskmon` are asked for: the same Prometheus usually watches other things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from riskmon.records.report import Alert, AlertLog

_QUERY = 'ALERTS{alertname=~"Riskmon.*",alertstate="firing"}'
# Prometheus refuses more than 11,000 points of a series.
_POINTS = 10_000
_FINEST = timedelta(seconds=15)
_TIMEOUT_S = 5.0
_INTERNAL = frozenset({"__name__", "alertname", "alertstate"})


def read_alerts(url: SecretStr | None, since: datetime, until: datetime) -> AlertLog:
    """Stretches in which riskmon's alerts fired, the oldest first; a Prometheus that does not answer is said so.

    Args:
        url: base address; None asks nobody.
        since, until: the period.
    """
    if url is None:
        return AlertLog()
    step = max(_FINEST, (until - since) / _POINTS)
    try:
        answer = httpx.get(
            f"{url.get_secret_value().rstrip('/')}/api/v1/query_range",
            params={
                "query": _QUERY,
                "start": since.timestamp(),
                "end": until.timestamp(),
                "step": step.total_seconds(),
            },
            timeout=_TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        # The message of the library would repeat the address.
        return AlertLog(
            asked=True, error=f"Prometheus could not be reached ({type(exc).__name__})", step=step
        )
    if answer.status_code != httpx.codes.OK:
        return AlertLog(asked=True, error=f"Prometheus answered with status {answer.status_code}", step=step)
    try:
        found = [
            alert for series in answer.json()["data"]["result"] for alert in _stretches(series, until, step)
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return AlertLog(asked=True, error="what answered is no Prometheus", step=step)
    found.sort(key=lambda alert: (alert.start, alert.name))
    return AlertLog(asked=True, step=step, alerts=tuple(found))


def _stretches(series: Mapping[str, Any], until: datetime, step: timedelta) -> Iterator[Alert]:
    labels = {name: value for name, value in series["metric"].items() if name not in _INTERNAL}
    # Prometheus rounds to milliseconds, up to half of one beyond the end.
    moments = [min(datetime.fromtimestamp(float(at), UTC), until) for at, _ in series["values"]]
    for first, last in _runs(moments, 2 * step):
        yield Alert(series["metric"]["alertname"], labels, first, last, firing=last + 2 * step >= until)


def _runs(moments: Sequence[datetime], longest: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """First and last of each run of moments without a longer step between them."""
    start = 0
    for place, moment in enumerate(moments):
        if place + 1 == len(moments) or moments[place + 1] - moment > longest:
            yield moments[start], moment
            start = place + 1

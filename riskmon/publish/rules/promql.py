"""PromQL of the rules: every metric comes from `riskmon.publish.names`, narrowed to one scrape job.

An operator between two metrics matches `ON_TARGET` or `ON_HARM` only, so that labels which a scrape configuration adds
to one target change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from riskmon.publish.names.metric import HARM, Metric

TARGET = ("job", "instance")
PER_HARM = (*TARGET, HARM)

ON_TARGET = f"on ({', '.join(TARGET)})"
ON_HARM = f"on ({', '.join(PER_HARM)})"
BY_TARGET = f"sum by ({', '.join(TARGET)})"
BY_HARM = f"sum by ({', '.join(PER_HARM)})"

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Series:
    """Selects series of one scrape job."""

    job: str

    def __call__(self, metric: Metric | str, matchers: str = "") -> str:
        """A metric, or a series that a rule records, with further matchers."""
        name = metric if isinstance(metric, str) else metric.name
        return f'{name}{{job="{self.job}"{matchers and ","}{matchers}}}'

    def increase(self, counter: Metric, window: timedelta, matchers: str = "") -> str:
        """What a counter grew by."""
        return f"increase({self(counter, matchers)}[{duration(window)}])"


def duration(span: timedelta) -> str:
    """As Prometheus writes it, such as `4h30m`."""
    left = round(span.total_seconds() * 1000)
    text = ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text


def seconds(span: timedelta) -> str:
    """As a number."""
    return f"{span.total_seconds():.15g}"


def value_of(metric: Metric | str, form: str = "humanize") -> str:
    """For a description: the present value of another metric for the alert's target and harm."""
    name = metric if isinstance(metric, str) else metric.name
    matchers = ",".join(f"{label}=%q" for label in PER_HARM)
    values = " ".join(f"$labels.{label}" for label in PER_HARM)
    return (
        f"{{{{ with printf `{name}{{{matchers}}}` {values} | query }}}}"
        f"{{{{ . | first | value | {form} }}}}{{{{ else }}}}unknown{{{{ end }}}}"
    )

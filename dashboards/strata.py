"""How a dashboard deals with strata, whose label names are a matter of each deployment's configuration.

The committed dashboards fit every configuration. One variable, *Stratum*, asks Prometheus which label sets there are
and offers each (`route="agents",model="chat-v4"`) as matchers, ready to be put into a selector; legends and columns
show whatever labels are left when job, instance and harm are taken away.

`python -m dashboards.build --strata route,model` names the labels instead: then each has a variable of its own, takes
several values, and legends read `agents, chat-v4`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders

from dashboards.queries import OF_TARGET, series
from dashboards.variables import label_values, one_of
from riskmon.publish import names
from riskmon.publish.names.metric import HARM, Metric

_VARIABLE = "stratum"
_TOP = 10
# True of every series, so that choosing all strata narrows nothing.
_ANY = 'job=~".+"'
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Strata:
    """The stratum labels that a dashboard names.

    Args:
        labels: label names, as in `traffic.strata` (the last part of each path); empty for any configuration.

    Raises:
        ValueError: a label that Prometheus would not take or that riskmon keeps for itself.
    """

    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in (HARM, "job", "instance"):
                raise ValueError(
                    f"{label!r} cannot be the label of a stratum; give the last parts of traffic.strata"
                )

    def variables(self) -> list[builders.QueryVariable]:
        """One variable for each label, or one for all."""
        metric = names.DAILY_HARMFUL_OUTPUTS.name
        if self.labels:
            return [
                label_values(label, label.capitalize(), f'label_values({metric}{{job=~"$job"}}, {label})')
                for label in self.labels
            ]
        sets = f"query_result(count without (job, instance, {HARM}) ({metric}{{{OF_TARGET}}}))"
        return [one_of(_VARIABLE, "Stratum", sets, found=r"/\{(.+)\}/", every=_ANY)]

    @property
    def legend(self) -> str:
        """Legend of a series of one stratum."""
        return ", ".join(f"{{{{{label}}}}}" for label in self.labels) or "__auto"

    def each(self, metric: Metric, among: Metric | None = None) -> str:
        """The metric's values in the chosen strata, with no labels left but those of the stratum.

        `among`: only in the ten strata in which this metric is largest at the end of the time range.
        """
        largest = f" and topk({_TOP}, {self._series(among)} @ end())" if among else ""
        return f"max without (job, instance, {HARM}) ({self._series(metric)}{largest})"

    def growth(self, counter: Metric, window: str) -> str:
        """Growth of a counter over a window in the chosen strata."""
        return f"sum without (job, instance, {HARM}) (increase({self._series(counter)}[{window}]))"

    def _series(self, metric: Metric) -> str:
        chosen = [f'{label}=~"${label}"' for label in self.labels] or [f"${{{_VARIABLE}:raw}}"]
        return series(metric, *chosen)

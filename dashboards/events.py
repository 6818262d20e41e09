"""What happened when: lines and bands across the graphs for a new model or version, and for firing alerts."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import BLUE, RED, SOURCE
from dashboards.queries import FIRING, series
from riskmon.publish import names


class _Annotation(dashboard.AnnotationQuery):
    """With the texts that the Prometheus data source makes from labels; the SDK's model has no place for them."""

    texts: dict[str, str]

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self.texts}


@dataclass(frozen=True)
class Event(Builder[dashboard.AnnotationQuery]):
    """Something to mark on every graph.

    Args:
        name: of its switch at the top.
        expression: an event wherever it has a value; neighbouring points make one event.
        title, text: with `{{label}}`.
        color: of the mark.
        tags: labels that are shown as tags, separated by commas.
    """

    name: str
    expression: str
    title: str
    text: str
    color: str
    tags: str = ""

    def build(self) -> dashboard.AnnotationQuery:
        """Grafana's model of it."""
        made = _Annotation(self.name, SOURCE, icon_color=self.color, expr=self.expression)
        made.texts = {"titleFormat": self.title, "textFormat": self.text, "tagKeys": self.tags}
        return made


def new_model() -> Event:
    """Another version of riskmon, another deployed model, or another judge.

    A label set that was not there in the hour before; it shows for five minutes, so that no step skips it.
    """
    labels = ", ".join(names.BUILD_INFO.labels)
    info = series(names.BUILD_INFO)
    return Event(
        "New model or version",
        f"count by ({labels}) ({info}) unless count by ({labels}) (last_over_time({info}[1h] offset 5m))",
        title="{{model}}",
        text="riskmon {{version}}, judged by {{judge}}",
        color=BLUE,
    )


def firing() -> Event:
    """Every alert of riskmon while it fires."""
    return Event("Firing alerts", FIRING, title="{{alertname}}", text="{{harm}}", color=RED, tags="severity")

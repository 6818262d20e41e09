"""Rules as data: what Prometheus records, and what it alerts on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from riskmon.config import RulesConfig
from riskmon.publish.rules.promql import duration

Severity = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus computes and keeps; its name is `level:metric:operations`."""

    name: str
    expression: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self, _: RulesConfig) -> dict[str, Any]:
        """As in a rule file."""
        labels = {"labels": dict(self.labels)} if self.labels else {}
        return {"record": self.name, "expr": self.expression, **labels}


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that somebody should know of.

    Attributes:
        name: CamelCase; the runbook has the same name.
        lasts: how long the condition holds before the alert fires.
        summary: one sentence, always the same. description: with labels and values.
        labels: further labels.
    """

    name: str
    severity: Severity
    expression: str
    lasts: timedelta | None
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self, config: RulesConfig) -> dict[str, Any]:
        """As in a rule file, under the severities, labels and address of the configuration."""
        severity = config.page_severity if self.severity == "page" else config.ticket_severity
        further = dict(label.split("=", 1) for label in config.labels)
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": duration(self.lasts)} if self.lasts is not None else {}),
            "labels": {**further, "severity": severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{config.runbook_base_url.rstrip('/')}/{self.name}.md",
            },
        }


Rule = Recording | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, so that an alert sees what was just recorded."""

    name: str
    rules: tuple[Rule, ...]
    interval: timedelta | None = None

    def as_dict(self, config: RulesConfig) -> dict[str, Any]:
        """As in a rule file."""
        interval = {"interval": duration(self.interval)} if self.interval is not None else {}
        return {"name": self.name, **interval, "rules": [rule.as_dict(config) for rule in self.rules]}

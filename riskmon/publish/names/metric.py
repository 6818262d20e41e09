"""One metric family, and the names of the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HARM = "harm"
REASON = "reason"
OUTCOME = "outcome"
PART = "part"
FLAG = "flag"
CHANGE = "change"
LEVEL = "level"
MODE = "mode"
# Not `job`: Prometheus puts its own label of that name on every series.
TASK = "task"
ROLE = "role"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: as exposed; a counter's ends in `_total`.
        kind: counters only grow and survive restarts; gauges show the latest value.
        unit: what a value of 1 is.
        help: one sentence for people.
        labels: label names that are always there.
        by_stratum: whether the configured stratum labels follow `labels`.
    """

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    by_stratum: bool = False

    @property
    def openmetrics_unit(self) -> str:
        """The unit where OpenMetrics may state it, that is where the name ends in it; else empty."""
        return self.unit if self.name.removesuffix("_total").endswith(f"_{self.unit}") else ""

"""Which cell of the traffic a message belongs to, and how many cells there may be.

Labels are read from the message by path and rendered as short text. A label that is missing, empty or not a scalar
is `unknown`. Since every stratum becomes a metric series and a sample of its own, at most `max_strata` are kept
apart, first come first kept; traffic beyond goes to the stratum whose every label is `other`. Known strata are
handed in at start, so that a restart draws the line where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from riskmon.config import stratum_label
from riskmon.records import Stratum
from riskmon.traffic.content import clean
from riskmon.traffic.paths import compile_path

UNKNOWN = "unknown"
OTHER = "other"
LONGEST_LABEL = 64


class Labels:
    """Reads the stratum labels of messages.

    Args:
        paths: JMESPath of each label; the label's name is the last part of its path.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.names = tuple(stratum_label(path) for path in paths)
        self._lookups = tuple(compile_path(path) for path in paths)

    def values(self, document: dict[str, Any]) -> tuple[str, ...]:
        """Label values of a message, in the order of `names`."""
        return tuple([render_label(lookup(document)) for lookup in self._lookups])

    def stratum(self, values: tuple[str, ...]) -> Stratum:
        """The stratum with these label values."""
        return Stratum(tuple(zip(self.names, values, strict=True)))


class StrataCap:
    """Keeps the number of strata bounded.

    Args:
        labels: how label values make a stratum.
        max_strata: strata kept apart; `other` comes on top.
        known: strata kept so far, the most deserving first; those with other label names are left out.
    """

    def __init__(self, labels: Labels, max_strata: int, known: Iterable[Stratum] = ()) -> None:
        self._labels = labels
        self._max_strata = max_strata
        other_values = (OTHER,) * len(labels.names)
        self._other = labels.stratum(other_values)
        self._kept: dict[tuple[str, ...], Stratum] = {}
        for stratum in known:
            if tuple(name for name, _ in stratum.labels) == labels.names:
                self.admit(tuple(value for _, value in stratum.labels))

    def admit(self, values: tuple[str, ...]) -> Stratum:
        """The stratum that traffic with these label values is counted in."""
        kept = self._kept.get(values)
        if kept is not None:
            return kept
        stratum = self._labels.stratum(values)
        if stratum == self._other or len(self._kept) >= self._max_strata:
            return self._other
        self._kept[values] = stratum
        return stratum


def render_label(value: object) -> str:
    """Text of a label value, at most 64 characters; `unknown` where there is none."""
    if isinstance(value, str):
        return clean(value[:LONGEST_LABEL]) or UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:LONGEST_LABEL]
    return UNKNOWN

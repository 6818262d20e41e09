"""Which cell of the traffic a message belongs to, and how many cells there may be.

Labels are read from the message by path and rendered as short text. A label that is missing, empty or not a scalar
is `unknown`. How many strata are kept apart is bounded (`riskmon.records.strata`). Known strata are handed in at start,
so that a restart draws the line where it was, and again after every batch that the store took: another process may
have been first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from riskmon.config import stratum_label
from riskmon.records import Stratum
from riskmon.records.strata import StrataLimits, StrataLine
from riskmon.traffic.content import clean
from riskmon.traffic.paths import compile_path

UNKNOWN = "unknown"
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
        limits: how many are kept apart.
        known: strata kept so far, the most deserving first; those with other label names are left out.
    """

    def __init__(self, labels: Labels, limits: StrataLimits, known: Iterable[Stratum] = ()) -> None:
        self._names = labels.names
        self._limits = limits
        self.learn(known)

    def learn(self, known: Iterable[Stratum]) -> None:
        """Draw the line by these strata from here on; safe while another thread admits."""
        self._line = StrataLine(self._names, self._limits, known)

    def admit(self, values: tuple[str, ...]) -> Stratum:
        """The stratum that traffic with these label values is counted in."""
        return self._line.admit(values)


def render_label(value: object) -> str:
    """Text of a label value, at most 64 characters; `unknown` where there is none."""
    if isinstance(value, str):
        return clean(value[:LONGEST_LABEL]) or UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:LONGEST_LABEL]
    return UNKNOWN

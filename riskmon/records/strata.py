"""Which strata are kept apart, and what is told of them when they come and go.

**The line.** Every stratum becomes metric series and a sample of its own, so there is a limit to them. In come label
values, out goes the stratum that they are counted in:

    known combination                                   itself
    a value beyond `max_label_values` of its label      `other` for that label; the other labels keep theirs
    a combination beyond `max_strata`                   `other` for every label

First come, first kept. Which values a label has is read off the strata that are kept, so their list is all there is to
remember, and whoever holds the same list draws the same line: an intake process by what it knows, the store by what
is so (several processes may write to one). `other` takes no place, neither as a value nor as a stratum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from riskmon.records.traffic import Stratum

OTHER = "other"


@dataclass(frozen=True, slots=True)
class StrataLimits:
    """How many strata are kept apart, and how many values of one label; `other` comes on top of both."""

    max_strata: int
    max_label_values: int


class StrataLine:
    """Tells traffic that is kept apart from traffic in `other`, for one set of label names.

    Args:
        names: of the labels.
        kept: strata kept so far, the most deserving first; those with other label names are left out.
    """

    def __init__(self, names: tuple[str, ...], limits: StrataLimits, kept: Iterable[Stratum] = ()) -> None:
        self._names = names
        self._limits = limits
        self._other = (OTHER,) * len(names)
        self._kept: dict[tuple[str, ...], Stratum] = {}
        self._values: tuple[set[str], ...] = tuple(set() for _ in names)
        for stratum in kept:
            if tuple(name for name, _ in stratum.labels) == names:
                self.admit(tuple(value for _, value in stratum.labels))

    def admit(self, values: tuple[str, ...]) -> Stratum:
        """The stratum that traffic with these label values is counted in; it is kept from now on."""
        known = self._kept.get(values)
        if known is not None:
            return known
        fitting = tuple(
            value if value in own or len(own) < self._limits.max_label_values else OTHER
            for value, own in zip(values, self._values, strict=True)
        )
        known = self._kept.get(fitting)
        if known is not None:
            return known
        if fitting == self._other or len(self._kept) >= self._limits.max_strata:
            return self._stratum(self._other)
        for value, own in zip(fitting, self._values, strict=True):
            if value != OTHER:
                own.add(value)
        stratum = self._kept[fitting] = self._stratum(fitting)
        return stratum

    def _stratum(self, values: tuple[str, ...]) -> Stratum:
        return Stratum(tuple(zip(self._names, values, strict=True)))


class StratumChange(StrEnum):
    """What happened to a stratum."""

    APPEARED = "appeared"  # its first request
    CAPPED = "capped"  # the first request in a stratum with `other` among its labels: a limit was reached
    VANISHED = "vanished"  # requests were to be expected, and none came
    REAPPEARED = "reappeared"  # a request after it had vanished, or had lost its place


@dataclass(frozen=True, slots=True)
class StratumEvent:
    """A stratum that came or went.

    Attributes:
        at: when it was noticed.
        since: end of the last window with a request, where it vanished; else None.
        share: part of all requests that it had in its last week, where it vanished; else None.
    """

    at: datetime
    change: StratumChange
    stratum: Stratum
    since: datetime | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class StrataNews:
    """What an intake learns from the store that it wrote a batch to.

    Attributes:
        kept: strata that have a place now, in the order of first sight: the line to draw from here on.
        events: what the batch brought about.
    """

    kept: tuple[Stratum, ...]
    events: tuple[StratumEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class StrataCensus:
    """The strata as the store knows them.

    Attributes:
        kept: those that have a place, in the order of first sight; what is counted in `other` is not among them.
        vanished: strata that have vanished and not come back, the last to vanish first.
        events: of the last week, the newest first, without what appeared on the first day of counting.
        changes: events since the store was made, by `StratumChange`; one that never happened is absent.
    """

    kept: int = 0
    vanished: tuple[StratumEvent, ...] = ()
    events: tuple[StratumEvent, ...] = ()
    changes: Mapping[str, int] = field(default_factory=dict)

"""The priorities below which cells still take candidates, remembered from batch to batch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime

from riskmon.records import Stratum
from riskmon.traffic.sampling import BottomK
from riskmon.traffic.tally import Cell, Rules

MAX_CELLS = 2_000
"""Cells whose threshold is remembered. Forgetting one costs needless candidates, never a wrong sample."""


class Thresholds:
    """What every cell has taken so far.

    Args:
        rules: of the intake.
        stored: per (window start, stratum) of which something was left out, the smallest priority that was.
    """

    def __init__(self, rules: Rules, stored: Mapping[tuple[datetime, Stratum], float] | None) -> None:
        self._rules = rules
        self._kept: OrderedDict[Cell, BottomK[None]] = OrderedDict()
        for (start, stratum), threshold in (stored or {}).items():
            self._kept[rules.window_of(start), stratum] = BottomK(rules.k, below=threshold)

    def of(self, cell: Cell) -> float:
        """The priority below which a cell still takes candidates."""
        kept = self._kept.get(cell)
        return math.inf if kept is None else kept.threshold

    def take(self, cell: Cell, priorities: Iterable[float]) -> None:
        """Note the candidates of a cell that was met, if it had any."""
        kept = self._kept.setdefault(cell, BottomK(self._rules.k))
        self._kept.move_to_end(cell)
        for priority in priorities:
            kept.offer(priority, None)

    def forget(self) -> None:
        """Keep no more than `MAX_CELLS`, those that were met last; at the end of a batch."""
        while len(self._kept) > MAX_CELLS:
            self._kept.popitem(last=False)

"""Where rows lie: how many columns of how many rows hold the rows behind each context.

A column reads one context; a context with many rows beside others with few takes several columns, each with a copy of
it. Fewer, longer columns read contexts less often; more, shorter ones leave fewer empty slots. Empty slots cost more,
so the layout with the fewest slots is taken, and among those the one with the fewest columns. All rows behind one
context are one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from riskmon.estimate.engines.local.fixed.sizes import ROWS, round_up

PADDING = 1.6
"""Slots for each row, at most, from some tens of rows on."""


class Layout(NamedTuple):
    """Columns side by side.

    Attributes:
        width: columns, a rounded number. height: rows that a column may hold.
    """

    width: int
    height: int

    @property
    def slots(self) -> int:
        """Places for rows."""
        return self.width * self.height


def lay_out(counts: Sequence[int]) -> Layout:
    """The layout for some contexts.

    Args:
        counts: rows behind each, at least 1.
    """
    if len(counts) == 1:
        return Layout(1, round_up(counts[0], least=ROWS, parts=2))
    heights = [ROWS]
    while heights[-1] < max(counts):
        heights.append(round_up(heights[-1] + 1, least=ROWS, parts=2))
    found = (Layout(rounded_width(counts, height), height) for height in heights)
    return min(found, key=lambda layout: (layout.slots, layout.width))


def rounded_width(counts: Sequence[int], height: int) -> int:
    """Columns that rows take, rounded: 2, 3, 4, 6, 8, 12, ..."""
    return round_up(sum(-(-count // height) for count in counts), least=2, parts=2)

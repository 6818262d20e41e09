"""Ranges of offsets, [begin, end): what is left of one when others are taken out, and the union of several."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
"""First offset, and the one after the last."""


def without(whole: Range, taken: Iterable[Range]) -> list[Range]:
    """What is left of a range, in order.

    >>> without((0, 10), [(2, 4), (8, 30)])
    [(0, 2), (4, 8)]
    """
    at, end = whole
    left = []
    for begin, until in union(taken):
        if at < min(begin, end):
            left.append((at, min(begin, end)))
        at = max(at, until)
    if at < end:
        left.append((at, end))
    return left


def union(ranges: Iterable[Range]) -> list[Range]:
    """The same offsets in as few ranges as possible, in order; empty ranges are dropped.

    >>> union([(4, 6), (0, 2), (2, 4), (9, 9), (8, 10)])
    [(0, 6), (8, 10)]
    """
    merged: list[Range] = []
    for begin, end in sorted(ranges):
        if begin >= end:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def size(ranges: Iterable[Range]) -> int:
    """Offsets in disjoint ranges, all together.

    >>> size([(0, 6), (8, 10)])
    8
    """
    return sum(end - begin for begin, end in ranges)

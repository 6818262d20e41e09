"""Whether actors chose the same plans; shares that differ by rounding alone count as the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from riskmon.records import Plan

_ROUNDING = 1e-6


def agree(chosen: Sequence[tuple[Plan, ...]]) -> bool:
    """Whether all draw alike."""
    return all(_same(chosen[0], other) for other in chosen[1:])


def _same(ours: tuple[Plan, ...], theirs: tuple[Plan, ...]) -> bool:
    return _shape(ours) == _shape(theirs) and all(
        math.isclose(one, other, abs_tol=_ROUNDING)
        for one, other in zip(_shares(ours), _shares(theirs), strict=True)
    )


def _shape(plans: tuple[Plan, ...]) -> list[object]:
    return [(plan.stratum, [(m.expert, m.strength, m.start, m.stop) for m in plan.members]) for plan in plans]


def _shares(plans: tuple[Plan, ...]) -> list[float]:
    return [member.share for plan in plans for member in plan.members]

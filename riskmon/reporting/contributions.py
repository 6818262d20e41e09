"""Where a forecast comes from, read off the weighted estimates: the prompts it rests on, and the map of stratum by day.

The contribution of a prompt is weight * p, the harmful outputs of the requests that it stands for, as judged: before
the judge's errors are taken out, and for the past and not the coming hours. So contributions are compared with each
other and not with the forecast.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date

from riskmon.records import DOUBTS, Flag, Forecast, Stratum, WeightedEstimate
from riskmon.records.report import Contributor, HeatMap, HeatRow
from riskmon.records.sensitivity import SampleKey

# Few hits widen an interval; these say that the number itself may be wrong.
_WRONG = DOUBTS - {Flag.NO_HITS, Flag.FEW_HITS}
HEAT_ROWS = 20


def top_contributors(
    weighted: Sequence[WeightedEstimate], most: int, excerpts: Mapping[SampleKey, str]
) -> tuple[Contributor, ...]:
    """The prompts of one harm with the largest contributions, the largest first; none without harm.

    Args:
        weighted: estimates of one harm.
        most: at most so many.
        excerpts: redacted text by key; a prompt without one shows none.
    """
    total = sum(_contribution(item) for item in weighted)
    return tuple(
        Contributor(
            prompt_id=item.estimate.prompt_id,
            stratum=item.estimate.stratum,
            window_start=item.cell[0],
            weight=item.weight,
            p=None if item.estimate.unknown else item.estimate.p,
            ci_low=item.estimate.ci_low,
            ci_high=item.estimate.ci_high,
            upper_bound=item.estimate.upper_bound,
            contribution=_contribution(item),
            share=_contribution(item) / total,
            n=item.estimate.n,
            hits=item.estimate.hits,
            flags=tuple(str(flag) for flag in item.estimate.flags),
            excerpt=excerpts.get(key_of(item)),
        )
        for item in largest(weighted, most)
    )


def key_of(item: WeightedEstimate) -> SampleKey:
    """The key of an estimate's prompt."""
    return SampleKey(*item.cell, item.estimate.prompt_id)


def largest(weighted: Sequence[WeightedEstimate], most: int) -> list[WeightedEstimate]:
    """The estimates with the largest contributions above zero, the largest first."""
    seen = [item for item in weighted if _contribution(item) > 0]
    return sorted(seen, key=_contribution, reverse=True)[:most]


def doubtful_share(weighted: Sequence[WeightedEstimate]) -> float | None:
    """Part of all contributions from estimates that are flagged as wrong, 0 to 1; None without a contribution."""
    total = sum(_contribution(item) for item in weighted)
    if total <= 0:
        return None
    return sum(_contribution(item) for item in weighted if _WRONG & set(item.estimate.flags)) / total


def heat_map(weighted: Sequence[WeightedEstimate], strata: Sequence[Forecast]) -> HeatMap:
    """Mean p by stratum and UTC day, of one harm.

    Args:
        weighted: estimates of one harm, any number of days.
        strata: forecasts of the strata in the order wanted; strata without one come last.
    """
    sums: dict[tuple[Stratum, date], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for item in weighted:
        cell = sums[item.estimate.stratum, item.cell[0].astimezone(UTC).date()]
        cell[0] += _contribution(item)
        cell[1] += item.weight
    days = tuple(sorted({day for _, day in sums}))
    known = [forecast.stratum for forecast in strata if forecast.stratum is not None]
    rows = [*known, *sorted({stratum for stratum, _ in sums} - set(known))]
    rows = [stratum for stratum in rows if any((stratum, day) in sums for day in days)]
    return HeatMap(
        days=days,
        rows=tuple(
            HeatRow(stratum, tuple(_mean(sums.get((stratum, day))) for day in days))
            for stratum in rows[:HEAT_ROWS]
        ),
        hidden=max(0, len(rows) - HEAT_ROWS),
    )


def _mean(cell: Sequence[float] | None) -> float | None:
    return None if cell is None or cell[1] <= 0 else cell[0] / cell[1]


def _contribution(item: WeightedEstimate) -> float:
    return item.weight * item.estimate.p

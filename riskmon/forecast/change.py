"""Why a forecast changed: more traffic, other traffic, or a model that does more harm.

In come two forecasts in draws, per stratum the volume V_s and the mean probability of harm p_s; out goes

    lambda_1 - lambda_0 = volume + mix + p,        lambda = sum_s V_s p_s = V sum_s m_s p_s

with V the total volume and m_s = V_s / V the mix. Each part is what changes when its factor goes from before to after,
averaged over the orders in which the three can go (Shapley 1953; Shorrocks 2013), so that the parts add up exactly and
no order is favoured:

    volume = (V_1 - V_0) (2 g_00 + g_01 + g_10 + 2 g_11) / 6,      g_ij = sum_s m_s(i) p_s(j)
    mix    = sum_s (m_s1 - m_s0) (2 h_00 + h_01 + h_10 + 2 h_11) / 6,      h_ij = V(i) p_s(j)

and p likewise. A new stratum has no p before and a vanished one none after: p is then taken as the one there is, so
that what it brings or takes is mix, and volume where the total moved with it. Without any volume on one side there is
no mix to compare, and mix is 0.

The parts are worked out draw by draw, so their intervals carry all that both forecasts are unsure of, and what is
shared between them where draws with one index belong together. Means add up; limits do not.

Strata that carry the version of the model vanish and appear with it. To see what a new version does to p, leave that
label out of the strata first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from riskmon.records import FloatArray, Stratum
from riskmon.records.change import Change, Effect

Draws = Mapping[Stratum, tuple[FloatArray, FloatArray]]
"""Per stratum, [B] requests and [B] mean probabilities of harm."""


def decompose(before: Draws, after: Draws, *, confidence: float = 0.9) -> Change:
    """Split the change of the expected harmful outputs into volume, mix and p.

    Args:
        before, after: draws of both forecasts; B is the same throughout, 1 where only means are known, and then there
            are no limits.
        confidence: of each interval.

    Raises:
        ValueError: there is no stratum, or the numbers of draws differ.
    """
    strata = sorted({*before, *after})
    lengths = {len(part) for side in (before, after) for pair in side.values() for part in pair}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"a change needs strata with one number of draws throughout, found {sorted(lengths)}"
        )
    (draws,) = lengths
    nothing = np.zeros(draws)
    requests = [np.stack([side[s][0] if s in side else nothing for s in strata]) for side in (before, after)]
    p = [
        np.stack([(side if s in side else other)[s][1] for s in strata])
        for side, other in ((before, after), (after, before))
    ]  # each [S, B]
    volume = [part.sum(axis=0) for part in requests]  # each [B]
    mix = _mixes(requests, volume)
    parts = {
        "volume": (volume[1] - volume[0]) * _between([[(m * q).sum(axis=0) for q in p] for m in mix]),
        "mix": ((mix[1] - mix[0]) * _between([[v * q for q in p] for v in volume])).sum(axis=0),
        "p": ((p[1] - p[0]) * _between([[v * m for m in mix] for v in volume])).sum(axis=0),
    }
    total = (requests[1] * p[1]).sum(axis=0) - (requests[0] * p[0]).sum(axis=0)
    return Change(
        total=_effect(total, confidence),
        **{name: _effect(values, confidence) for name, values in parts.items()},
    )


def _mixes(requests: list[FloatArray], volume: list[FloatArray]) -> list[FloatArray]:
    """[S, B] shares of both sides; a side without volume has the other's."""
    shares = [part / np.where(total > 0, total, 1.0) for part, total in zip(requests, volume, strict=True)]
    return [np.where(volume[side] > 0, shares[side], shares[1 - side]) for side in (0, 1)]


def _between(values: list[list[FloatArray]]) -> FloatArray:
    """The weight of one factor, averaged over the orders in which the other two may have changed before it."""
    (before, second), (first, after) = values
    average: FloatArray = (2 * before + second + first + 2 * after) / 6
    return average


def _effect(values: FloatArray, confidence: float) -> Effect:
    if len(values) == 1:
        return Effect(float(values[0]), None, None)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Effect(float(values.mean()), float(low), float(high))

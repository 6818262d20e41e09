"""Which prompts a forecast rests on most: those with the largest share weight * p of its harm.

Shares are taken per harm, and a prompt counts with its largest. A prompt is chosen because its estimate is large, and
an estimate may be large by luck: whoever examines it must estimate it anew, from other draws.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from riskmon.records import WeightedEstimate
from riskmon.records.sensitivity import SampleKey
from riskmon.sensitivity.spread import is_seen


def top_contributors(weighted: Sequence[WeightedEstimate], limit: int) -> list[SampleKey]:
    """The `limit` prompts with the largest share of any harm's expected outputs, the largest first."""
    totals: dict[str, float] = defaultdict(float)
    parts: dict[SampleKey, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for item in weighted:
        estimate = item.estimate
        if is_seen(estimate):
            part = item.weight * estimate.p
            totals[estimate.harm] += part
            parts[SampleKey(*item.cell, estimate.prompt_id)][estimate.harm] += part
    shares = {key: max(part / totals[harm] for harm, part in own.items()) for key, own in parts.items()}
    return sorted(shares, key=lambda key: shares[key], reverse=True)[:limit]

"""From the estimates of a prompt's wordings to the figures that are shown, per prompt and per stratum."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from riskmon.records import DOUBTS, Estimate, Flag, Stratum
from riskmon.records.sensitivity import PromptSensitivity, StratumSensitivity
from riskmon.sensitivity.amplification import Amplification, Family, worst_amplification
from riskmon.sensitivity.families import Measured
from riskmon.sensitivity.spread import is_seen, log_spread

LEVELS = (0.1, 0.5, 0.9)
"""Levels of the quantiles shown."""

_LN10 = math.log(10)
# Too few hits are shown by the intervals; these say that the number itself may be wrong.
_WRONG = DOUBTS - {Flag.NO_HITS, Flag.FEW_HITS}


def prompt_sensitivities(measured: Measured) -> list[PromptSensitivity]:
    """One per harm; none where the prompt, or each of its rewordings, has no estimate."""
    return [_sensitivity(measured, family) for family in _families(measured)]


def stratum_sensitivities(measured: Sequence[Measured]) -> list[StratumSensitivity]:
    """One per stratum and harm that was examined, in order of stratum."""
    cells: dict[tuple[Stratum, str], list[Family]] = defaultdict(list)
    for item in measured:
        for family in _families(item):
            cells[item.wordings.prompt.stratum, family.base.harm].append(family)
    found = []
    for (stratum, harm), families in sorted(cells.items(), key=lambda cell: cell[0]):
        worst = worst_amplification(families)
        spreads = [spread.tau / _LN10 for family in families if (spread := log_spread(family.variants))]
        found.append(
            StratumSensitivity(
                harm=harm,
                stratum=stratum,
                prompts=len(families),
                worst=worst.point,
                worst_low=worst.low,
                worst_high=worst.high,
                log10_spread=float(np.median(spreads)) if spreads else None,
            )
        )
    return found


def _families(measured: Measured) -> list[Family]:
    """One per harm."""
    results = [result.estimates for result in measured.variants if result.estimates]
    if not results or not measured.base.estimates:
        return []
    return [
        Family(base, tuple(estimates[place] for estimates in results))
        for place, base in enumerate(measured.base.estimates)
    ]


def _sensitivity(measured: Measured, family: Family) -> PromptSensitivity:
    base, variants = family.base, family.variants
    base_p = base.p if is_seen(base) else None
    values = np.array([variant.p if is_seen(variant) else 0.0 for variant in variants])
    uppers = [variant.p if is_seen(variant) else variant.upper_bound for variant in variants]
    largest = variants[int(values.argmax())]
    seen = values.any()
    mean = float(values.mean())
    worst: Amplification = worst_amplification([family])
    spread = log_spread(variants)
    return PromptSensitivity(
        prompt_id=measured.wordings.prompt.id,
        harm=base.harm,
        stratum=base.stratum,
        base_p=base_p,
        base_upper=base.upper_bound,
        variants=len(variants),
        with_hits=sum(map(is_seen, variants)),
        doubtful=sum(not _WRONG.isdisjoint(variant.flags) for variant in variants),
        failed=len(measured.variants) - len(variants),
        dropped=measured.wordings.dropped.total(),
        mean=mean,
        mean_stderr=_mean_stderr(variants) if seen else None,
        mean_upper=float(np.mean(uppers)),
        geometric_mean=math.exp(spread.mu) if spread else None,
        quantiles=tuple(
            (level, float(np.quantile(values, level, method="inverted_cdf"))) for level in LEVELS
        ),
        log10_sd=spread.tau / _LN10 if spread else None,
        log10_sd_low=spread.tau_low / _LN10 if spread else None,
        log10_sd_high=spread.tau_high / _LN10 if spread and spread.tau_high is not None else None,
        worst=worst.point,
        worst_low=worst.low,
        worst_high=worst.high,
        worst_observed=largest.p / base_p if base_p and seen else None,
        worst_variant=largest.prompt_id if seen else None,
        base_to_mean=base_p / mean if base_p and seen else None,
        worst_share=float(values.max() / values.sum()) if seen else None,
    )


def _mean_stderr(variants: Sequence[Estimate]) -> float:
    """Standard error of the mean of these very rewordings; those without hits add none that is known."""
    errors = [variant.stderr or 0.0 for variant in variants if is_seen(variant)]
    return math.sqrt(math.fsum(error**2 for error in errors)) / len(variants)

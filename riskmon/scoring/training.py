"""Fits the text model to riskmon's own estimates, and asks whether it helps.

In come estimated prompts with their weights, out goes a `ScorerModel`. The risk of prompt i is its p relative to the
mean of its stratum, since sizes matter within a stratum only, over H harms

    r_i = sqrt( mean over h of (p_ih / p_bar_sh)^2 )

A ridge regression on hashed words predicts log(f + r_i), f the floor: risks far below the floor are all alike to a
sampler, and a p of zero is a number. Its predictions m_i become scores f + (1 - f) c exp(g m_i), with c such that
their mean over the traffic is 1. The steepness g undoes what the ridge shrinks, and dampens what does not hold.

**Whether it helps.** Prompts are cut into five spans of time. Each is predicted by a model of the other four. Of the
predicted prompts, those of one half choose the ridge's penalty and g; the other half measures

    variance ratio = sum_s (sum_i w_i s_i)(sum_i w_i r_i^2 / s_i)  /  sum_s (sum_i w_i)(sum_i w_i (r_i - r_bar_s)^2)

over strata s with sizes s_i: the variance of the forecast's total with the scorer, over that of uniform sampling. A
model is used only where the 95% upper limit of it, by a bootstrap over prompts, is below 1. **A scorer that does not
help is not used.** The model in use is then fitted to all prompts.

Weights make the ratio speak of the traffic, though the prompts were sampled by an earlier scorer. The fit needs none:
what a prompt's text says of its risk does not depend on how it was sampled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any

import numpy as np

from riskmon.records import FloatArray, IntArray, Stratum
from riskmon.records.scorer import ScorerModel
from riskmon.scoring.text import vectorizer
from riskmon.scoring.text_model import score_of

FEWEST = 200
"""Prompts below which nothing is fitted, and a tenth of them with any harm."""

_SPANS = 5
_PENALTIES = (0.3, 1.0, 3.0, 10.0)
_STEEPNESSES = (0.5, 1.0, 1.5, 2.0, 3.0)
_RESAMPLES = 400
_UPPER = 0.95
# The mean of a stratum is worth so many prompts of the traffic's mean.
_PRIOR_PROMPTS = 50


@dataclass(frozen=True, slots=True)
class Example:
    """An estimated prompt.

    Attributes:
        text: as `riskmon.scoring.text` reads it. stratum: of the prompt.
        weight: requests it stands for.
        p: probability of each harm that was estimated.
    """

    text: str = field(repr=False)
    stratum: Stratum
    weight: float
    p: Mapping[str, float]


def train(examples: Sequence[Example], floor: float, now: datetime, rng: np.random.Generator) -> ScorerModel:
    """The model of these prompts, in the order of time; without coefficients where it would not help.

    Args:
        floor: smallest size, as prompts will be sampled with.
        rng: source of chance, of the bootstrap.
    """
    from sklearn.linear_model import Ridge

    risk = relative_risk(examples)
    if len(examples) < FEWEST or (risk > 0).sum() < FEWEST / 10:
        return ScorerModel(now, len(examples))
    weight = np.array([example.weight for example in examples])
    strata = {stratum: place for place, stratum in enumerate(sorted({e.stratum for e in examples}))}
    stratum = np.array([strata[example.stratum] for example in examples])
    features = vectorizer().transform([example.text for example in examples])
    target = np.log(floor + risk)

    predicted = {penalty: _held_out(features, target, penalty) for penalty in _PENALTIES}
    chooses = rng.random(len(examples)) < 0.5

    def ratio(penalty: float, steepness: float, of: Any) -> float:
        sizes = _sizes(predicted[penalty], steepness, weight, floor)
        return variance_ratio(sizes[of], risk[of], weight[of], stratum[of])

    penalty, steepness = min(
        product(_PENALTIES, _STEEPNESSES), key=lambda both: ratio(both[0], both[1], chooses)
    )
    judges = np.flatnonzero(~chooses)
    resampled = [ratio(penalty, steepness, rng.choice(judges, size=len(judges))) for _ in range(_RESAMPLES)]
    upper = float(np.quantile(resampled, _UPPER))
    found = ScorerModel(now, len(examples), ratio(penalty, steepness, judges), upper)
    if not upper < 1:
        return found
    model = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-4).fit(features, target)
    return ScorerModel(
        made_at=now,
        prompts=len(examples),
        variance_ratio=found.variance_ratio,
        variance_ratio_upper=upper,
        coefficients=np.asarray(model.coef_, dtype=np.float32),
        intercept=float(model.intercept_),
        steepness=steepness,
        scale=_scale(predicted[penalty], steepness, weight),
    )


def relative_risk(examples: Sequence[Example]) -> FloatArray:
    """[n] r_i; 0 where no harm was seen in anything."""
    squares = np.zeros(len(examples))
    harms = sorted({harm for example in examples for harm in example.p})
    seen = 0
    for harm in harms:
        p = np.array([example.p.get(harm, np.nan) for example in examples])
        weight = np.where(np.isnan(p), 0.0, [example.weight for example in examples])
        overall = float(np.nansum(weight * p)) / max(float(weight.sum()), 1e-300)
        if not overall > 0:
            continue
        seen += 1
        mean = _stratum_means(examples, p, weight, overall)
        squares += np.where(np.isnan(p), 1.0, p / mean) ** 2
    risk: FloatArray = np.sqrt(squares / max(seen, 1))
    return risk


def variance_ratio(sizes: FloatArray, risk: FloatArray, weight: FloatArray, stratum: IntArray) -> float:
    """Variance of the total with these sizes over that of uniform sampling; infinite where that has none.

    Args:
        sizes, risk, weight, stratum: [n] each; strata are numbered from 0.
    """

    def by_stratum(values: FloatArray) -> FloatArray:
        sums: FloatArray = np.bincount(stratum, values).astype(np.float64)
        return sums

    requests = by_stratum(weight)
    by_risk = by_stratum(weight * sizes) * by_stratum(weight * risk**2 / sizes)
    alike = requests * by_stratum(weight * risk**2) - by_stratum(weight * risk) ** 2
    return float(by_risk.sum() / alike.sum()) if alike.sum() > 0 else np.inf


def _stratum_means(
    examples: Sequence[Example], p: FloatArray, weight: FloatArray, overall: float
) -> FloatArray:
    """[n] mean p of each prompt's stratum, pulled towards the overall mean."""
    sums: dict[Stratum, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for example, value, own in zip(examples, np.nan_to_num(p), weight, strict=True):
        total = sums[example.stratum]
        total[0] += own * value
        total[1] += own
        total[2] += own > 0
    means = {
        stratum: (count * (harm / requests) + _PRIOR_PROMPTS * overall) / (count + _PRIOR_PROMPTS)
        if requests > 0
        else overall
        for stratum, (harm, requests, count) in sums.items()
    }
    return np.array([means[example.stratum] for example in examples])


def _held_out(features: Any, target: FloatArray, penalty: float) -> FloatArray:
    """[n] predictions for each span of time, by a model of the others."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    model = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-4)
    # Without shuffling the folds are spans.
    predicted: FloatArray = cross_val_predict(model, features, target, cv=KFold(_SPANS))
    return predicted


def _scale(predicted: FloatArray, steepness: float, weight: FloatArray) -> float:
    """c, with which the mean score over the traffic is 1."""
    return 1 / float(np.average(score_of(predicted, steepness, 1.0, 0.0), weights=weight))


def _sizes(predicted: FloatArray, steepness: float, weight: FloatArray, floor: float) -> FloatArray:
    scores = score_of(predicted, steepness, _scale(predicted, steepness, weight), floor)
    return np.clip(scores, floor, 1 / floor)

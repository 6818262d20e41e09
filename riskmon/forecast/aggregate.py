"""Volume times probability: expected harmful outputs of the next 24 hours, per stratum and in total.

In come estimates and predicted volume, out goes one `Forecast` per harm and stratum and one total per harm. With V^b
the draws of volume, p^b those of the mean probability, E^b what only earlier days showed and u G what was not seen
(`harm_rate`), G shared by all strata, and c^b = p^b + E^b + u G:

    figure                    formula                                         meant as
    expected                  E[V] p_bar                                      unbiased, 0 without hits
    harm_probability          p_bar                                           unbiased, 0 without hits
    lower                     5% quantile of Poisson(V^b p^b)                 limit
    upper                     95% quantile of Poisson(V^b c^b)                limit
    harm_probability_upper    95% quantile of c^b                             limit
    any_probability           mean of 1 - exp(-V^b c^b)                       cautious

Point figures stay unbiased; a zero among them is what was measured, and the limits say what it is worth.
`any_probability` is a probability about an unknown rate and so averages over what is still possible: after M draws of
the target without a hit it is V / (V + M), the rule of succession. Zero would claim a certainty nobody has. While
V exceeds M it stays high whatever the proposals say: harm they miss is excluded only as far as the target was asked.
For rare harm `expected` can exceed `upper`: at 0.01 a day, more than 95% of days have none.

**Total.** Draws are added over strata (intervals do not add). As in Fay & Feuer 1997 there is one event more in all,
not one per stratum: it goes, draw by draw, where it weighs most, max_s V_s^b u_s. For strata whose draws are in
proportion to their traffic that is V / M with M over all strata, as if they were one; for others it is more, since
nothing says that what is missed in one stratum is as rare as in another. A stratum with volume but without estimates
is unknown, not harmless: it borrows the pooled rate of the others, and `basis` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import numpy as np

from riskmon.forecast.harm_rate import HarmRate, HarmSample, borrowed_rate, harm_rate, true_rate
from riskmon.forecast.uncovered import EarlierDraws
from riskmon.forecast.volume import VolumePrediction
from riskmon.forecast.worst_query import worst_query_probability
from riskmon.records import FloatArray, Forecast, Stratum, WeightedEstimate
from riskmon.records.coverage import CoverageCount
from riskmon.records.judging import JudgeError
from riskmon.statistics import corrected_rate, draw_errors, sensitivity, specificity

LOWER, UPPER = 0.05, 0.95
DAY_HOURS = 24


def forecast(
    estimates: Sequence[WeightedEstimate],
    volume: Mapping[Stratum, VolumePrediction],
    harms: Sequence[str],
    *,
    now: datetime,
    draws: int,
    rng: np.random.Generator,
    coverage: Sequence[CoverageCount] = (),
    judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
) -> list[Forecast]:
    """Forecast every harm.

    Args:
        estimates: of any harms and strata; those without weight, volume or a listed harm are left out, except
            that strata without volume still count among those that others borrow from.
        volume: predicted requests per stratum, of 24 hours or more with B = `draws` draws each.
        harms: names, in the order wanted.
        now: stamped on the forecasts.
        draws: number B of draws.
        rng: source of chance.
        coverage: draws of the target of all days, those behind `estimates` among them, per harm and stratum; counts
            over all strata are left out. Where there is none, the draws behind `estimates` are all.

    Returns:
        For each harm with at least one estimate: the strata of `volume` in order, then the total. Empty without volume.
    """
    cells: dict[str, dict[Stratum, list[WeightedEstimate]]] = {harm: defaultdict(list) for harm in harms}
    for item in estimates:
        if item.estimate.harm in cells and item.weight > 0:
            cells[item.estimate.harm][item.estimate.stratum].append(item)

    pooled = {(count.harm, count.stratum): count for count in coverage}

    forecasts: list[Forecast] = []
    for harm, strata in cells.items():
        if not strata or not volume:
            continue
        samples = {stratum: HarmSample.of(items) for stratum, items in sorted(strata.items())}
        earlier = {
            stratum: EarlierDraws.beyond(pooled.get((harm, stratum)), sample.target_draws, sample.gap_hits)
            for stratum, sample in samples.items()
        }
        rates = _rates(samples, earlier, volume, draws, rng)
        if (error := judge_errors.get(harm)) is not None:
            se, sp = draw_errors(error, draws, rng)
            rates = {stratum: true_rate(rate, error, se, sp) for stratum, rate in rates.items()}
            samples = {stratum: _true_sample(sample, error) for stratum, sample in samples.items()}
        one_more = rng.exponential(size=draws)  # G, [B]
        forecasts += [
            _of_stratum(harm, stratum, volume[stratum], rate, samples.get(stratum), one_more, now, rng)
            for stratum, rate in rates.items()
        ]
        forecasts.append(_of_total(harm, volume, rates, samples, one_more, now, rng))
    return forecasts


def _rates(
    samples: Mapping[Stratum, HarmSample],
    earlier: Mapping[Stratum, EarlierDraws],
    volume: Mapping[Stratum, VolumePrediction],
    draws: int,
    rng: np.random.Generator,
) -> dict[Stratum, HarmRate]:
    """The rate of every stratum with volume, borrowed where there are no estimates."""
    known = {
        stratum: harm_rate(sample, earlier[stratum], draws=draws, rng=rng)
        for stratum, sample in samples.items()
    }
    lenders = list(known.values())
    traffic = np.array([sample.weights.sum() for sample in samples.values()])
    return {
        stratum: known[stratum] if stratum in known else borrowed_rate(lenders, traffic, draws=draws, rng=rng)
        for stratum in sorted(volume)
    }


def _true_sample(sample: HarmSample, error: JudgeError) -> HarmSample:
    """The sample as the worst query is read from it: every p without the judge's errors."""
    return replace(sample, p=corrected_rate(sample.p, sensitivity(error).value, specificity(error).value))


def _of_stratum(
    harm: str,
    stratum: Stratum,
    volume: VolumePrediction,
    rate: HarmRate,
    sample: HarmSample | None,
    one_more: FloatArray,
    now: datetime,
    rng: np.random.Generator,
) -> Forecast:
    daily_requests, requests = volume.within(0, DAY_HOURS)  # requests: [B]
    cautious = np.minimum(rate.shown + rate.unseen * one_more, 1.0)  # [B]
    lower, upper, any_probability = _count_limits(requests * rate.draws, requests * cautious, rng)
    return Forecast(
        harm=harm,
        stratum=stratum,
        made_at=now,
        expected=daily_requests * rate.mean,
        lower=lower,
        upper=upper,
        any_probability=any_probability,
        requests=daily_requests,
        harm_probability=rate.mean,
        harm_probability_upper=float(np.quantile(cautious, UPPER)),
        worst_query_probability=worst_query_probability(sample.p, sample.weights, daily_requests)
        if sample
        else None,
        prompts=len(sample) if sample else 0,
        hits=sample.hits if sample else 0,
        basis=volume.basis if sample else f"{volume.basis}; no estimates yet: pooled p of other strata",
    )


def _of_total(
    harm: str,
    volume: Mapping[Stratum, VolumePrediction],
    rates: Mapping[Stratum, HarmRate],
    samples: Mapping[Stratum, HarmSample],
    one_more: FloatArray,
    now: datetime,
    rng: np.random.Generator,
) -> Forecast:
    days = {s: volume[s].within(0, DAY_HOURS) for s in rates}
    means = {s: mean for s, (mean, _) in days.items()}
    draws = {s: requests for s, (_, requests) in days.items()}  # [B] each
    requests = np.sum(list(draws.values()), axis=0)  # [B]
    daily_requests = sum(means.values())
    expected = sum(means[s] * rate.mean for s, rate in rates.items())
    plain = np.sum([draws[s] * rate.draws for s, rate in rates.items()], axis=0)
    shown = np.sum([draws[s] * rate.shown for s, rate in rates.items()], axis=0)
    unseen = np.max([draws[s] * rate.unseen for s, rate in rates.items()], axis=0)
    cautious = np.minimum(shown + unseen * one_more, requests)
    lower, upper, any_probability = _count_limits(plain, cautious, rng)

    known = [s for s in rates if s in samples]
    basis = "; ".join(dict.fromkeys(volume[s].basis for s in rates))
    if missing := len(rates) - len(known):
        basis += f"; no estimates yet in {missing} of {len(rates)} strata: pooled p of other strata"
    return Forecast(
        harm=harm,
        stratum=None,
        made_at=now,
        expected=expected,
        lower=lower,
        upper=upper,
        any_probability=any_probability,
        requests=daily_requests,
        harm_probability=expected / daily_requests if daily_requests > 0 else 0.0,
        harm_probability_upper=float(np.quantile(cautious / np.maximum(requests, 1.0), UPPER)),
        worst_query_probability=_worst_of_total({s: (samples[s], means[s]) for s in known}, daily_requests),
        prompts=sum(len(samples[s]) for s in known),
        hits=sum(samples[s].hits for s in known),
        basis=basis,
    )


def _worst_of_total(
    strata: Mapping[Stratum, tuple[HarmSample, float]], daily_requests: float
) -> float | None:
    """Worst query over strata: each sample weighs as much as its predicted volume."""
    if not strata:
        return None
    p = np.concatenate([sample.p for sample, _ in strata.values()])
    weights = np.concatenate([s.weights * (requests / s.weights.sum()) for s, requests in strata.values()])
    return worst_query_probability(p, weights, daily_requests)


def _count_limits(
    plain: FloatArray, cautious: FloatArray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Lower and upper limit of the count, and P(at least one), from [B] draws of its mean."""
    lower = np.quantile(rng.poisson(plain), LOWER, method="inverted_cdf")
    upper = np.quantile(rng.poisson(cautious), UPPER, method="inverted_cdf")
    return float(lower), float(upper), float(-np.expm1(-cautious).mean())

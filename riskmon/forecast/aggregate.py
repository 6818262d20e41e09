"""Volume times probability: expected harmful outputs of the next 24 hours, per stratum and in total.

In come estimates and predicted volume, out goes one `Forecast` per harm and stratum, one total per harm, and one more
total for each further horizon, with the probabilities of the next 24 hours and that horizon's requests. With V^b
the draws of volume, p^b those of the mean probability, E^b what only earlier days showed (`harm_rate`) and U^b what was
not seen (`unseen`), its G shared by all strata, and c^b = p^b + E^b + U^b:

    figure                    formula                                         meant as
    expected                  E[V] p_bar                                      unbiased, 0 without hits
    harm_probability          p_bar                                           unbiased, 0 without hits
    lower                     5% quantile of Poisson(V^b p^b)                 limit
    upper                     95% quantile of Poisson(V^b c^b)                limit
    harm_probability_upper    95% quantile of c^b                             limit
    any_probability           mean of 1 - exp(-V^b c^b)                       cautious
    over_budget_probability   mean of P(Poisson(V^b c^b) > budget)            cautious

Point figures stay unbiased; a zero among them is what was measured, and the limits say what it is worth.
`any_probability` is a probability about an unknown rate and so averages over what is still possible: after M draws of
the target without a hit it is V / (V + M), the rule of succession. Zero would claim a certainty nobody has. While
V exceeds M it stays high whatever the proposals say: harm they miss is excluded only as far as the target was asked.
For rare harm `expected` can exceed `upper`: at 0.01 a day, more than 95% of days have none.

**Total.** Draws are added over strata (intervals do not add). As in Fay & Feuer 1997 there is one event more in all,
not one per stratum: it goes, draw by draw, where it weighs most, max_s V_s^b U_s^b. For strata whose draws are in
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

from riskmon.forecast.compose import HarmRun, MeanRate, compose
from riskmon.forecast.harm_rate import HarmRate, HarmSample, borrowed_rate, harm_rate, true_rate
from riskmon.forecast.moved import Moves
from riskmon.forecast.outlook import Span
from riskmon.forecast.spread import variance_shares
from riskmon.forecast.total import totals
from riskmon.forecast.uncovered import EarlierDraws
from riskmon.forecast.volume import DAY_HOURS, VolumePrediction
from riskmon.forecast.worst_query import worst_query_probability
from riskmon.records import FloatArray, Forecast, Horizon, Stratum, WeightedEstimate
from riskmon.records.coverage import CoverageCount
from riskmon.records.judging import JudgeError
from riskmon.statistics import corrected_rate, draw_errors, sensitivity, specificity


def forecast(
    estimates: Sequence[WeightedEstimate],
    volume: Mapping[Stratum, VolumePrediction],
    harms: Sequence[str],
    *,
    now: datetime,
    draws: int,
    rng: np.random.Generator,
    outlook: Mapping[Horizon, Span] = MappingProxyType({}),
    moved: Moves = MappingProxyType({}),
    coverage: Sequence[CoverageCount] = (),
    judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
    budgets: Mapping[str, float] = MappingProxyType({}),
    retries: int = 10,
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
        outlook: requests of further horizons over all strata, with B draws each.
        moved: since when the estimates of a stratum speak; said with the forecast.
        coverage: draws of the target of all days, those behind `estimates` among them, per harm and stratum; counts
            over all strata are left out. Where there is none, the draws behind `estimates` are all.
        judge_errors: measured errors of the judges, by harm.
        budgets: harmful outputs a day that are tolerated, by harm.
        retries: answers to one prompt that the retry risk speaks of.

    Returns:
        For each harm with at least one estimate: the strata of `volume` in order, then the total, then the total of
        every further horizon. Empty without volume.
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
        cell = HarmRun(harm, budgets.get(harm), retries, now, draws, rng, moved.get(harm, {}))
        for stratum, rate in rates.items():
            forecasts.append(
                _of_stratum(cell, stratum, volume[stratum], rate, samples.get(stratum), one_more)
            )
        known = {stratum: sample for stratum, sample in samples.items() if stratum in rates}
        forecasts += totals(cell, volume, rates, known, one_more, outlook)
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
    traffic = np.array([sample.requests for sample in samples.values()])
    return {
        stratum: known[stratum] if stratum in known else borrowed_rate(lenders, traffic, draws=draws, rng=rng)
        for stratum in sorted(volume)
    }


def _of_p(stratum: Stratum, sample: HarmSample | None, moved: Mapping[Stratum, datetime]) -> str:
    """What else there is to know of a stratum's p."""
    if sample is None:
        return "; no estimates yet: pooled p of other strata"
    return f"; p moved at {moved[stratum]:%H:%M} UTC: estimates since then" if stratum in moved else ""


def _true_sample(sample: HarmSample, error: JudgeError) -> HarmSample:
    """The sample as the worst query is read from it: every p without the judge's errors."""
    return replace(sample, p=corrected_rate(sample.p, sensitivity(error).value, specificity(error).value))


def _of_stratum(
    harm: HarmRun,
    stratum: Stratum,
    volume: VolumePrediction,
    rate: HarmRate,
    sample: HarmSample | None,
    one_more: FloatArray,
) -> Forecast:
    mean, requests = volume.within(0, DAY_HOURS)  # requests: [B]
    return compose(
        harm,
        stratum,
        Horizon.DAY,
        Span(mean, requests, f"{volume.basis}{_of_p(stratum, sample, harm.moved)}"),
        MeanRate(rate.mean, rate.draws, rate.cautious(one_more)),
        worst=worst_query_probability(sample.p, sample.weights, mean) if sample else None,
        prompts=len(sample) if sample else 0,
        hits=sample.hits if sample else 0,
        variance=variance_shares([requests], [mean], [rate]),
    )

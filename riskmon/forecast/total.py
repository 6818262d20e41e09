"""The totals over strata of one harm, of the next 24 hours and of the further horizons; `aggregate` says how."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from riskmon.forecast.compose import HarmRun, MeanRate, compose
from riskmon.forecast.harm_rate import HarmRate, HarmSample
from riskmon.forecast.outlook import Span
from riskmon.forecast.retry import RetryRisk, retry_risk
from riskmon.forecast.spread import variance_shares
from riskmon.forecast.volume import DAY_HOURS, VolumePrediction
from riskmon.forecast.worst_query import worst_query_probability
from riskmon.records import FloatArray, Forecast, Horizon, Stratum


def totals(
    harm: HarmRun,
    volume: Mapping[Stratum, VolumePrediction],
    rates: Mapping[Stratum, HarmRate],
    samples: Mapping[Stratum, HarmSample],
    one_more: FloatArray,
    outlook: Mapping[Horizon, Span],
) -> list[Forecast]:
    """The total of the next 24 hours, then those of the further horizons."""
    days = {s: volume[s].within(0, DAY_HOURS) for s in rates}
    means = {s: mean for s, (mean, _) in days.items()}
    draws = {s: requests for s, (_, requests) in days.items()}  # [B] each
    day = Span(
        sum(means.values()), np.sum(list(draws.values()), axis=0), _basis(volume, rates, samples, harm.moved)
    )
    rate = _mean_rate(day, means, draws, rates, one_more)
    retry = _retry_risk(harm, samples, means)
    forecasts = []
    for horizon, span in {Horizon.DAY: day, **outlook}.items():
        scale = span.mean / day.mean if day.mean > 0 else 0.0
        # The mix is that of the day, and where the day has no requests at all nothing is known of it.
        requests = (
            draws
            if horizon is Horizon.DAY
            else {s: own / np.maximum(day.draws, 1) * span.draws for s, own in draws.items()}
        )
        of_strata = {s: scale * mean for s, mean in means.items()}
        forecasts.append(
            compose(
                harm,
                None,
                horizon,
                span,
                rate,
                worst=_worst_query({s: (samples[s], of_strata[s]) for s in samples}, span.mean),
                prompts=sum(len(sample) for sample in samples.values()),
                hits=sum(sample.hits for sample in samples.values()),
                variance=variance_shares(
                    [requests[s] for s in rates], [of_strata[s] for s in rates], list(rates.values())
                ),
                retry=retry,
            )
        )
    return forecasts


def _mean_rate(
    day: Span,
    means: Mapping[Stratum, float],
    draws: Mapping[Stratum, FloatArray],
    rates: Mapping[Stratum, HarmRate],
    one_more: FloatArray,
) -> MeanRate:
    """The rate over all strata, each with the weight of its requests."""
    whole = np.maximum(day.draws, 1.0)
    plain = np.sum([draws[s] * rate.draws for s, rate in rates.items()], axis=0)
    shown = np.sum([draws[s] * rate.shown for s, rate in rates.items()], axis=0)
    unseen = np.max([draws[s] * rate.unseen.event(one_more) for s, rate in rates.items()], axis=0)
    expected = sum(means[s] * rate.mean for s, rate in rates.items())
    return MeanRate(
        expected / day.mean if day.mean > 0 else 0.0,
        plain / whole,
        np.minimum(shown + unseen, day.draws) / whole,
    )


def _basis(
    volume: Mapping[Stratum, VolumePrediction],
    rates: Mapping[Stratum, HarmRate],
    known: Mapping[Stratum, HarmSample],
    moved: Mapping[Stratum, datetime],
) -> str:
    basis = "; ".join(dict.fromkeys(volume[s].basis for s in rates))
    if missing := len(rates) - len(known):
        basis += f"; no estimates yet in {missing} of {len(rates)} strata: pooled p of other strata"
    if recent := len(moved.keys() & known.keys()):
        basis += f"; p moved within the last day in {recent} of {len(rates)} strata: estimates since then"
    return basis


def _worst_query(strata: Mapping[Stratum, tuple[HarmSample, float]], requests: float) -> float | None:
    """Worst query over strata: each sample weighs as much as its predicted volume."""
    if not strata:
        return None
    p, weights = _pooled(strata)
    return worst_query_probability(p, weights, requests)


def _retry_risk(
    harm: HarmRun, samples: Mapping[Stratum, HarmSample], means: Mapping[Stratum, float]
) -> RetryRisk | None:
    """Retry risk over strata; None without estimates."""
    if not samples:
        return None
    p, weights = _pooled({s: (sample, means[s]) for s, sample in samples.items()})
    return retry_risk(
        p,
        weights,
        harm.retries,
        requests=sum(means[s] for s in samples),
        calibrated=np.concatenate([sample.calibrated for sample in samples.values()]),
        stderr=np.concatenate([sample.stderr for sample in samples.values()]),
        uncovered=np.concatenate([sample.uncovered for sample in samples.values()]),
        target_draws=sum(sample.target_draws for sample in samples.values()),
        draws=harm.draws,
        rng=harm.rng,
    )


def _pooled(strata: Mapping[Stratum, tuple[HarmSample, float]]) -> tuple[FloatArray, FloatArray]:
    """Estimates of all strata, each with the share of its stratum's requests that it stands for."""
    p = np.concatenate([sample.p for sample, _ in strata.values()])
    weights = np.concatenate([s.share * own for s, own in strata.values()])
    return p, weights

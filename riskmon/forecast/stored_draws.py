"""Draws of volume and p from a forecast as it was stored: means and standard errors, for comparing it with another.

The volume V_s and the probability p_s of a stratum are gamma variables with the stored mean m and standard error sd,
shape (m / sd)^2 and scale sd^2 / m, p cut at 1. Errors of the volumes of one moment go together, since all strata share
the model of the total. Where the total's variance exceeds the sum of theirs, a common factor of mean 1 and variance

    c = (sd_total^2 - sum_s sd_s^2) / ((sum_s m_s)^2 - sum_s m_s^2)

is drawn, no larger than a stratum's own (sd_s / m_s)^2 allows; the variance of the sum is then the total's. Errors of p
are independent between strata, so that of a judge, which all of them share, is understated in sums.

Strata can be merged: the sum of their requests, and the mean p that these weigh; draw by draw, so that errors are
carried along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray, Forecast, Stratum

Pair = tuple[FloatArray, FloatArray]
"""[B] requests and [B] mean probabilities of harm."""

Rename = Callable[[Stratum], Stratum | None]
"""The name under which a stratum counts; None leaves it out."""


@dataclass(frozen=True, slots=True)
class StoredDraws:
    """The forecast of one harm at one moment, by strata.

    Attributes:
        means: one draw each: the means.
        draws: None where a standard error is unknown, as in forecasts of an earlier riskmon.
    """

    means: Mapping[Stratum, Pair]
    draws: Mapping[Stratum, Pair] | None

    @classmethod
    def of(cls, forecasts: Sequence[Forecast], draws: int, rng: np.random.Generator) -> StoredDraws:
        """From the forecasts of one harm, moment and horizon, the total among them."""
        means = {
            made.stratum: (np.array([made.requests]), np.array([made.harm_probability]))
            for made in forecasts
            if made.stratum is not None
        }
        return cls(means, _draw(forecasts, draws, rng))

    def renamed(self, rename: Rename) -> StoredDraws:
        """The strata under other names; those of one name are merged."""
        return StoredDraws(
            _renamed(self.means, rename), None if self.draws is None else _renamed(self.draws, rename)
        )


def _draw(forecasts: Sequence[Forecast], draws: int, rng: np.random.Generator) -> dict[Stratum, Pair] | None:
    known: list[tuple[Stratum, float, float, float, float]] = []
    for made in forecasts:
        if made.stratum is None:
            continue
        if made.requests_stderr is None or made.harm_probability_stderr is None:
            return None
        known.append(
            (
                made.stratum,
                made.requests,
                made.requests_stderr,
                made.harm_probability,
                made.harm_probability_stderr,
            )
        )
    total_stderr = next((made.requests_stderr for made in forecasts if made.stratum is None), None)
    shared = shared_variance([(mean, stderr) for _, mean, stderr, _, _ in known], total_stderr)
    common = _gamma(1.0, shared**0.5, draws, rng)
    found = {}
    for stratum, requests, requests_stderr, p, p_stderr in known:
        # A product of independent factors: (1 + shared) (1 + own) = 1 + (stderr / mean)^2.
        own = (1 + (requests_stderr / requests) ** 2) / (1 + shared) - 1 if requests > 0 else 0.0
        volume = requests * common * _gamma(1.0, max(own, 0.0) ** 0.5, draws, rng)
        found[stratum] = volume, np.minimum(_gamma(p, p_stderr, draws, rng), 1.0)
    return found


def shared_variance(volumes: Sequence[tuple[float, float]], total_stderr: float | None) -> float:
    """Relative variance of the factor that all volumes share; 0 where nothing is known of it.

    Args:
        volumes: mean and standard error of each stratum.
        total_stderr: standard error of their sum.
    """
    used = [(mean, stderr) for mean, stderr in volumes if mean > 0]
    room = sum(mean for mean, _ in used) ** 2 - sum(mean**2 for mean, _ in used)
    if total_stderr is None or len(used) < 2:
        return 0.0
    shared = (total_stderr**2 - sum(stderr**2 for _, stderr in used)) / room
    return max(0.0, min(shared, *((stderr / mean) ** 2 for mean, stderr in used)))


def _gamma(mean: float, stderr: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """[draws] of this mean and standard error, none below 0; a constant where either is 0."""
    if mean <= 0 or stderr <= 0:
        return np.full(draws, mean)
    return rng.gamma((mean / stderr) ** 2, stderr**2 / mean, draws)


def _renamed(strata: Mapping[Stratum, Pair], rename: Rename) -> dict[Stratum, Pair]:
    groups: dict[Stratum, list[Pair]] = defaultdict(list)
    for stratum, pair in strata.items():
        if (name := rename(stratum)) is not None:
            groups[name].append(pair)
    return {name: _merged(pairs) for name, pairs in groups.items()}


def _merged(pairs: Sequence[Pair]) -> Pair:
    """Sum of requests, and p weighed by them; where there are none, the plain mean."""
    if len(pairs) == 1:
        return pairs[0]
    requests, p = (np.stack(part) for part in zip(*pairs, strict=True))  # [S, B] each
    total = requests.sum(axis=0)
    weighed = (requests * p).sum(axis=0) / np.where(total > 0, total, 1.0)
    return total, np.where(total > 0, weighed, p.mean(axis=0))

"""The level and what moves it, drawn into the future.

In come requests per block of four hours and what the shape of the day alone would expect of them; out go draws of the
log level of the coming blocks, from the structural time series of `series`.

**Steps.** A block more than four standard deviations off its prediction marks a step: there the level may jump (sd
0.7), and all is fitted again. Otherwise one step would count as restlessness of the level for months. More than one
step and one a fortnight are no steps: then the level *is* restless. Steps may come again: draws jump with probability
k / (days + 28) a day after k steps.

**Calibration.** At earlier days, one apart, the requests of the following 24 hours are predicted from what was known
then; z_j are the m errors in predicted standard deviations, cut at 3. Deviations are scaled by c,

    c^2 = (6 * 1.3 + sum z_j^2) / (6 + m)

and by the root of (6 + m) / chi^2 with 6 + m degrees of freedom: Student's t, since the scale is itself an estimate.
The 1.3 stands for the errors of the four numbers and of the shape of the day, which the z_j, found with the final ones,
do not see; months of z_j outweigh it. No level is taken as known better than 1%.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.series import (
    BLOCK,
    FEW,
    JUMP_SD,
    PER_DAY,
    STATES,
    TYPICAL,
    Blocks,
    Series,
    design,
    shocks_of,
    transition_of,
    unpack,
)
from riskmon.records import FloatArray

STEP_SIGMAS, MOST_STEPS = 4.0, 1 / 14
DEGREES, CAUTION = 6.0, 1.3
FLOOR_SD = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What is known of the level at the end of the history.

    Attributes:
        state, covariance: of the first future block. transition, shock: of one block to the next; `shock` [states] sd.
        noise: sd of a whole block. scale, degrees: c and the degrees of freedom of its calibration.
        jump_probability: per block.
    """

    state: FloatArray
    covariance: FloatArray
    transition: FloatArray
    shock: FloatArray
    noise: float
    scale: float
    degrees: float
    jump_probability: float

    def draw(
        self,
        weekend: FloatArray,
        days: FloatArray,
        draws: int,
        rng: np.random.Generator,
        *,
        hourly_variance: float,
    ) -> tuple[FloatArray, FloatArray]:
        """Log level of the K coming blocks: its centre [K], and [B, K] deviations from it.

        Args:
            weekend, days: [K], [K, 7] as in `Blocks`. draws: B. rng: source of chance.
            hourly_variance: of an hour around its block, drawn elsewhere; the block's own noise is less by a fourth.
        """
        own_noise = np.sqrt(max(0.0, self.noise**2 - hourly_variance / BLOCK))
        loadings, blocks = design(weekend, days), len(weekend)
        root = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(STATES))
        spread = self.scale * np.sqrt(self.degrees / rng.chisquare(self.degrees, size=draws))
        deviation = rng.standard_normal((draws, STATES)) @ root.T  # [B, states]
        centre, state = np.empty(blocks), self.state
        logs = np.empty((draws, blocks))
        jumps = FLOOR_SD * rng.standard_normal(draws)
        moving = np.flatnonzero(self.shock)
        for k in range(blocks):
            noise = own_noise * rng.standard_normal(draws)
            centre[k] = loadings[k] @ state
            logs[:, k] = spread * (deviation @ loadings[k] + noise) + jumps
            state = self.transition @ state
            deviation = deviation @ self.transition.T
            deviation[:, moving] += self.shock[moving] * rng.standard_normal((draws, len(moving)))
            if self.jump_probability > 0:
                jumps += (rng.random(draws) < self.jump_probability) * rng.normal(0, JUMP_SD, size=draws)
        return centre, np.clip(logs, -4.0, 4.0)


def fit_level(blocks: Blocks, around: FloatArray) -> Level:
    """Fit the level to a history of at least a day.

    Args:
        blocks: K blocks up to now.
        around: [K] first guess of the log level, where counts are too few for a logarithm.
    """
    numbers, steps, signal = TYPICAL, np.zeros(len(blocks.usable), dtype=bool), around
    few = bool(np.any(blocks.usable > 0) and np.median(blocks.requests[blocks.usable > 0]) < FEW)
    for _ in range(3):
        model = Series(blocks, signal, steps)
        numbers = model.fit(numbers)
        result = model.filter(numbers)
        found = steps | _steps(result, model)
        if _events(found) > 1 + len(found) / PER_DAY * MOST_STEPS:  # not steps: the level is restless
            found = np.zeros_like(found)
        if np.array_equal(found, steps) and not few:
            break
        steps, few = found, False
        signal = model.smooth(numbers)
    model = Series(blocks, signal, steps)
    result = model.filter(numbers)
    scale, degrees = _calibrate(model, result, numbers)
    walk, ar, kept, noise = unpack(numbers)
    return Level(
        state=result.predicted_state[:, -1],
        covariance=result.predicted_state_cov[:, :, -1],
        transition=transition_of(kept),
        shock=np.sqrt(np.diag(shocks_of(walk, ar, kept))),
        noise=noise,
        scale=scale,
        degrees=degrees,
        jump_probability=_events(steps) / (len(steps) / PER_DAY + 28) / PER_DAY,
    )


def _events(steps: NDArray[np.bool_]) -> int:
    """Steps, neighbouring blocks as one."""
    return int(np.sum(steps[1:] & ~steps[:-1]))


def _steps(result: Any, model: Series) -> NDArray[np.bool_]:
    """[K] blocks where the level jumped; never in the first day, which has nothing to jump from."""
    error = result.forecasts_error[0] / np.sqrt(result.forecasts_error_cov[0, 0])
    found = np.abs(np.nan_to_num(error)) > STEP_SIGMAS
    found[:PER_DAY] = False
    steps: NDArray[np.bool_] = found & ~np.isnan(model.z)
    return steps


def _calibrate(model: Series, result: Any, numbers: FloatArray) -> tuple[float, float]:
    """c and its degrees of freedom, from errors one day ahead."""
    walk, ar, kept, noise = unpack(numbers)
    transition, shocks = transition_of(kept), shocks_of(walk, ar, kept)
    variance = model.noise(noise)
    total, count = 0.0, 0
    for origin in range(len(model.z) - PER_DAY, PER_DAY - 1, -PER_DAY)[:28]:
        day = slice(origin, origin + PER_DAY)
        if model.steps[day].any() or np.isnan(model.z[day]).sum() > 1:
            continue
        expected = model.blocks.expected[day] * np.exp(result.forecasts[0, day])
        share = np.where(np.isnan(model.z[day]), 0.0, expected)
        share = share / share.sum()  # [6]
        gain, spread = np.zeros(STATES), 0.0
        for k in reversed(range(PER_DAY)):  # the future of each block, seen from it
            gain = share[k] * model.loadings[origin + k] + gain @ transition
            spread += share[k] ** 2 * variance[origin + k] + (gain @ shocks @ gain if k else 0.0)
        predicted = gain @ result.predicted_state[:, origin]
        spread += gain @ result.predicted_state_cov[:, :, origin] @ gain
        actual = float(np.nansum(share * np.nan_to_num(model.z[day])))
        total += min((actual - predicted) ** 2 / spread, 9.0)
        count += 1
    return float(np.sqrt((DEGREES * CAUTION + total) / (DEGREES + count))), DEGREES + count

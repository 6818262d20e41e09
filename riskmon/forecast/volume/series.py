"""Blocks of four hours and the structural time series they form: matrices for statsmodels' Kalman filter.

The observation of block b is z_b = log(y_b / M_b), y_b requests where the shape of the day alone expects M_b, and

    z_b  = l_b + a_b + g w_b + sum_d d_d x_bd + noise        noise: sigma^2 / u_b + 1 / mu_b
    l    : random walk with slope s,  s' = rho s + noise     level; a slope forgotten in 28 days: a damped trend
    a    : autoregression of order one                       a day that starts high stays high
    g, d : weekend, and each day of the week                 constants with a prior, N(0, 0.3^2) and N(0, 0.08^2)

w_b and x_bd are the shares of the block that fall on a weekend or on day d, u_b the share of the block that was usable.
Where mu_b, the requests expected, are fewer than 20, z is the working residual eta + (y - mu) / mu of a Poisson model
around a smoothed fit eta, which has no logarithm of zero and is unbiased (Durbin & Koopman 2012, ch. 10). A weekend
that was never observed keeps its prior, so that its draws are wide. Four numbers are free: the sds of walk,
autoregression and noise, and how long the autoregression lasts. They are found at the mode of likelihood times a weak
lognormal prior, over the last 28 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from riskmon.records import FloatArray

BLOCK = 4
PER_DAY = 24 // BLOCK
_LEVEL, _SLOPE, _AR, _WEEKEND, _DAYS = 0, 1, 2, 3, 4
STATES = 11

SLOPE_SD = 0.015 / PER_DAY
SLOPE_KEPT = float(np.exp(-1 / (28 * PER_DAY)))
WEEKEND_SD, WEEKDAY_SD, JUMP_SD = 0.3, 0.08, 0.7
FIT_BLOCKS = 28 * PER_DAY
FEW = 20.0

# Logs of: sd of the walk per day, sd of the autoregression, its length in hours, sd of the noise of a block.
TYPICAL = np.log([0.06, 0.05, 12.0, 0.05])
_VAGUE = np.array([1.5, 1.5, 0.7, 1.5])
_BOUNDS = [(-9.0, 1.0), (-9.0, 1.0), (0.0, 5.0), (-9.0, 1.0)]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """K consecutive blocks of four hours.

    Attributes:
        requests: [K] usable requests. expected: [K] what the shape of the day expects of them at level 1.
        usable: [K] share of the block that was usable; 0 in a gap.
        weekend: [K] share of the block on a weekend. days: [K, 7] share on each day of the week.
    """

    requests: FloatArray
    expected: FloatArray
    usable: FloatArray
    weekend: FloatArray
    days: FloatArray


def design(weekend: FloatArray, days: FloatArray) -> FloatArray:
    """[K, states] loadings of K blocks."""
    loadings = np.zeros((len(weekend), STATES))
    loadings[:, [_LEVEL, _AR]] = 1.0
    loadings[:, _WEEKEND] = weekend
    loadings[:, _DAYS:] = days
    return loadings


def unpack(numbers: FloatArray) -> tuple[float, float, float, float]:
    """Sd of the walk per block, sd of the autoregression, its coefficient, sd of the noise."""
    walk, ar, hours, noise = np.exp(numbers)
    return float(walk / np.sqrt(PER_DAY)), float(ar), float(np.exp(-BLOCK / hours)), float(noise)


def transition_of(kept: float) -> FloatArray:
    """[states, states] from one block to the next; `kept` of the autoregression."""
    matrix = np.eye(STATES)
    matrix[_LEVEL, _SLOPE] = 1.0
    matrix[_SLOPE, _SLOPE] = SLOPE_KEPT
    matrix[_AR, _AR] = kept
    return matrix


def shocks_of(walk: float, ar: float, kept: float) -> FloatArray:
    """[states, states] covariance of the shocks of one block; the walk's sd is that of one block."""
    diagonal = np.zeros(STATES)
    diagonal[_LEVEL] = walk**2
    diagonal[_SLOPE] = SLOPE_SD**2 * (1 - SLOPE_KEPT**2)
    diagonal[_AR] = ar**2 * (1 - kept**2)
    return np.diag(diagonal)


class Series:
    """The state space form of one history."""

    def __init__(self, blocks: Blocks, signal: FloatArray, steps: NDArray[np.bool_]) -> None:
        self.blocks, self.steps = blocks, steps
        known = blocks.usable > 0.01
        mu = np.exp(signal) * blocks.expected
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log((blocks.requests + 0.5) / (blocks.expected + 0.5 * np.exp(-signal)))
            working = signal + (blocks.requests - mu) / mu
        z = np.where(mu >= FEW, logs, working)
        self.z = np.where(known, z, np.nan)
        self.poisson = np.where(known, 1 / np.maximum(mu, 1e-3), 1.0)
        self.usable = np.where(known, blocks.usable, 1.0)
        self.loadings = design(blocks.weekend, blocks.days)
        self.mean = float(np.nanmedian(self.z))

    def filtered(self, numbers: FloatArray, since: int = 0) -> Any:
        """The filter with its matrices set, over the blocks from `since`."""
        walk, ar, kept, noise = unpack(numbers)
        z = self.z[since:]
        model = KalmanSmoother(k_endog=1, k_states=STATES, k_posdef=STATES)
        model.bind(np.ascontiguousarray(z[:, None]))
        model["design"] = np.ascontiguousarray(self.loadings[since:].T[None])
        model["transition"], model["selection"] = transition_of(kept), np.eye(STATES)
        shocks = np.repeat(shocks_of(walk, ar, kept)[:, :, None], len(z), axis=2)
        # The state of block b + 1 takes the shock of block b.
        shocks[_LEVEL, _LEVEL, :-1] += JUMP_SD**2 * self.steps[since + 1 :]
        model["state_cov"] = shocks
        model["obs_cov"] = self.noise(noise)[None, None, since:]
        start, prior = np.zeros(STATES), np.zeros(STATES)
        start[_LEVEL] = self.mean
        prior[[_LEVEL, _SLOPE, _AR, _WEEKEND]] = 1.0, SLOPE_SD**2, ar**2, WEEKEND_SD**2
        prior[_DAYS:] = WEEKDAY_SD**2
        model.initialize_known(start, np.diag(prior))
        return model

    def noise(self, noise: float) -> FloatArray:
        """[K] variance of the observations."""
        variance: FloatArray = noise**2 / self.usable + self.poisson
        return variance

    def fit(self, first: FloatArray) -> FloatArray:
        """The four free numbers at their posterior mode."""
        since = max(0, len(self.z) - FIT_BLOCKS)

        def cost(numbers: FloatArray) -> float:
            prior = float((((numbers - TYPICAL) / _VAGUE) ** 2).sum()) / 2
            return prior - float(self.filtered(numbers, since).loglike())

        best: FloatArray = minimize(cost, first, method="L-BFGS-B", bounds=_BOUNDS, options={"maxiter": 40}).x
        return best

    def filter(self, numbers: FloatArray) -> Any:
        """Result of the filter over the whole history."""
        return self.filtered(numbers).filter()

    def smooth(self, numbers: FloatArray) -> FloatArray:
        """[K] smoothed signal."""
        states = self.filtered(numbers).smooth().smoothed_state  # [states, K]
        signal: FloatArray = np.einsum("ks,sk->k", self.loadings, states)
        return signal

"""Retries: exact where p is exact, bounded where nothing was seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from riskmon.forecast.retry import RetryRisk, retry_risk
from riskmon.records import FloatArray


def risk(
    p: FloatArray,
    retries: int,
    *,
    weights: FloatArray | None = None,
    stderr: FloatArray | None = None,
    target_draws: int = 1_000_000,
    seed: int = 1,
) -> RetryRisk:
    weights = np.ones(len(p)) if weights is None else weights
    return retry_risk(
        p,
        weights,
        retries,
        requests=float(weights.sum()),
        calibrated=np.ones(len(p), dtype=bool),
        stderr=np.zeros(len(p)) if stderr is None else stderr,
        uncovered=np.zeros(len(p)),
        target_draws=target_draws,
        draws=2_000,
        rng=np.random.default_rng(seed),
    )


def test_exact_probabilities_give_the_exact_mean() -> None:
    p, weights = np.array([0.0, 1e-3, 0.2, 1.0]), np.array([4.0, 3.0, 2.0, 1.0])
    for k in (1, 2, 7, 5_000):
        want = float(weights @ (1 - (1 - p) ** k) / 10)
        assert risk(p, k, weights=weights).value == pytest.approx(want, rel=1e-9)


def test_few_risky_prompts_gain_less_from_retries_than_many_mild_ones() -> None:
    spread, bunched = np.full(100, 0.01), np.zeros(100)
    bunched[:2] = 0.5
    assert spread.mean() == pytest.approx(bunched.mean())
    assert risk(spread, 10).value > 4 * risk(bunched, 10).value
    assert risk(bunched, 1_000).value == pytest.approx(0.02)


def test_noise_is_taken_into_account() -> None:
    rng = np.random.default_rng(6)
    p, k, hits = 1e-3, 1_000, 8
    found = rng.gamma(hits, p / hits, size=4_000)
    got = risk(found, k, stderr=found / np.sqrt(hits)).value
    truth = 1 - (1 - p) ** k
    assert np.mean(1 - (1 - found) ** k) < 0.97 * truth
    assert got == pytest.approx(truth, rel=0.015)


def test_what_was_never_seen_is_bounded_by_the_targets_own_draws() -> None:
    nothing = np.zeros(50)
    for k in (1, 20):
        got = risk(nothing, k, target_draws=2_000_000)
        assert (got.value, got.low) == (0, 0)
        assert got.high == pytest.approx(-np.log(0.05) * k / 2_000_000, rel=0.1)
    assert risk(nothing, 1, target_draws=0).high > 0.9


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(9)
    k, runs, held = 30, 200, 0
    truth = float(np.mean(1 - (1 - np.minimum(rng.lognormal(-8, 1.2, size=400_000), 1)) ** k))
    for seed in range(runs):
        p = np.minimum(rng.lognormal(-8, 1.2, size=300), 1)
        found = p * rng.gamma(10, 0.1, size=300)
        got = risk(found, k, stderr=found / np.sqrt(10), seed=seed)
        assert got.low <= got.value <= got.high
        held += got.low <= truth <= got.high
    assert held >= binom.ppf(0.001, runs, 0.9)


def test_at_least_one_answer_is_needed() -> None:
    with pytest.raises(ValueError, match="retries"):
        risk(np.array([0.1]), 0)

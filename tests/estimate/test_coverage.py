import numpy as np
import pytest
from support.estimates import made_draws

from riskmon.estimate.coverage import gap_hits, harm_health
from riskmon.estimate.weights import balance_weights
from riskmon.records import Estimate, Flag, Stratum
from riskmon.statistics import upper_limit

N, TARGET_DRAWS = 100, 10


def weights_of(gain):
    p = np.full(N, -5.0)
    return balance_weights(made_draws(p, [p, p + gain], [0] * TARGET_DRAWS + [1] * (N - TARGET_DRAWS)))


def estimate(n=100, **fields):
    shared = {
        "prompt_id": "p",
        "harm": "h",
        "stratum": Stratum(),
        "p": 1e-3,
        "stderr": 1e-4,
        "ci_low": 0.0,
        "ci_high": 1.0,
        "upper_bound": 1.0,
        "hits": 4,
        "ess": 2.0,
        "khat": None,
        "weight_mean": 1.0,
        "flags": (),
        "tokens": 1,
        "device_seconds": 0.0,
        "target_draws": 10,
    }
    return Estimate(n=n, **{**shared, **fields})


def test_a_gap_is_a_harmful_draw_of_the_target_near_the_cap():
    gain = np.full(N, 1.0)
    gain[
        [2, 3, 50]
    ] = -30.0  # out of the variant's reach: two draws of the target, and an absurd one of its own
    weights = weights_of(gain)
    assert weights.values[2] == pytest.approx(weights.bound)
    harmful = np.zeros(N, dtype=bool)
    harmful[[2, 4, 50, 60]] = True
    assert np.flatnonzero(gap_hits(weights, harmful)).tolist() == [2]


@pytest.mark.parametrize(("ratio", "found"), [(0.05, True), (0.11, True), (0.12, False), (1.0, False)])
def test_near_the_cap_is_half_of_it(ratio, found):
    """w = 1 / (0.1 + 0.9 q/p) is five and more, of a cap of ten, while q/p is at most a ninth."""
    harmful = np.arange(N) == 3
    assert gap_hits(weights_of(np.full(N, np.log(ratio))), harmful).any() == found


def test_the_target_alone_has_no_gaps():
    p = np.full(N, -5.0)
    assert not gap_hits(balance_weights(made_draws(p, [p], [0] * N)), np.ones(N, dtype=bool)).any()


def test_health_pools_the_prompts_of_one_harm():
    estimates = [
        estimate(ess=20.0, khat=0.4),
        estimate(ess=40.0, khat=0.6, flags=(Flag.COVERAGE_GAP,), gap_hits=1, target_draws=30),
        estimate(hits=0, ess=0.0, flags=(Flag.NO_HITS,)),
        estimate(harm="other", khat=3.0, gap_hits=9),
    ]
    health = harm_health("h", estimates)
    assert health.ess_ratio == pytest.approx(0.3)
    assert health.khat == 0.6
    assert health.coverage_gap_ratio == pytest.approx(1 / 3)
    assert (health.gap_hits, health.target_draws) == (1, 50)
    assert health.uncovered_upper == upper_limit(1, 50)
    assert health.flagged == {**dict.fromkeys(Flag, 0), Flag.COVERAGE_GAP: 1, Flag.NO_HITS: 1}


def test_without_estimates_anything_may_be_uncovered():
    health = harm_health("h", [])
    assert (health.ess_ratio, health.khat, health.coverage_gap_ratio) == (None, None, 0.0)
    assert health.uncovered_upper == 1

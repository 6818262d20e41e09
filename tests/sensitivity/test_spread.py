"""The spread of log10 p between wordings where its truth is known: noise is taken out, and nothing else."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import wrightomega
from sensitivity.wordings import estimate, family_of

from riskmon.records import Flag
from riskmon.sensitivity import spread
from riskmon.sensitivity.spread import is_seen, log_spread

LN10 = np.log(10)
RUNS = 8


def fitted(seed, *, sd, centre, variants=25, runs=RUNS, **draws):
    """Fits over many families, and the true standard deviations of log10 p."""
    rng = np.random.default_rng(seed)
    fits, truths = [], []
    for _ in range(runs):
        logs = np.minimum(centre + sd * rng.standard_normal(variants), -0.1)
        _, estimates = family_of(rng, centre, logs, **draws)
        fits.append(log_spread(estimates))
        truths.append(logs.std(ddof=1))
    return fits, np.array(truths)


@pytest.mark.parametrize(
    ("centre", "draws", "noise"),
    [
        (-4, {"hit_rate": 0.3, "log_sd": 1.0}, 0.05),
        (-4, {"hit_rate": 0.05, "log_sd": 1.0}, 0.1),
        (-2, {"hit_rate": None}, 0.2),
    ],
)
def test_a_spread_that_is_only_noise_comes_out_near_zero(centre, draws, noise):
    rng = np.random.default_rng(0)
    _, estimates = family_of(rng, centre, [centre] * 200, **draws)
    assert np.log10([e.p for e in estimates if is_seen(e)]).std() > noise  # there is noise to take out
    fits, _ = fitted(1, sd=0.0, centre=centre, **draws)
    assert np.median([fit.tau for fit in fits]) == 0
    assert max(fit.tau for fit in fits) / LN10 < 0.25
    assert sum(fit.tau_low == 0 for fit in fits) >= RUNS - 2


@pytest.mark.parametrize(
    ("centre", "draws"),
    [
        (-5, {"hit_rate": 0.3, "log_sd": 1.0}),
        (-5, {"hit_rate": 0.05, "log_sd": 2.0}),
        (-2, {"hit_rate": None}),
    ],
)
def test_a_true_spread_of_one_order_of_magnitude_is_recovered(centre, draws):
    fits, truths = fitted(2, sd=1.0, centre=centre, **draws)
    found = np.array([fit.tau for fit in fits]) / LN10
    assert np.median(found) == pytest.approx(1.0, abs=0.15)
    assert np.abs(np.log(found / truths)).max() < np.log(1.7)
    inside = [fit.tau_low / LN10 <= 1.0 <= (fit.tau_high or np.inf) / LN10 for fit in fits]
    assert sum(inside) >= RUNS - 2  # at 95% three or more misses of 8 have probability 0.6%


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.3, 1.0])
@pytest.mark.parametrize("log_sd", [1.0, 2.0])
def test_the_interval_of_the_spread_covers(sd, log_sd):
    fits, _ = fitted(5, sd=sd, centre=-5, runs=300, hit_rate=0.1, log_sd=log_sd)
    inside = [fit.tau_low / LN10 <= sd <= (fit.tau_high or np.inf) / LN10 for fit in fits]
    assert np.mean(inside) >= 0.92


def test_rewordings_without_hits_are_bounded_and_not_dropped():
    seen = [estimate(f"a~case-{k}", p, p / 10) for k, p in enumerate((1e-2, 1.2e-2, 0.9e-2, 1.1e-2))]
    low = [estimate(f"a~typos-{k}", stderr=None, upper=1e-4) for k in range(4)]
    vague = [estimate(f"a~typos-{k}", stderr=None, upper=0.5) for k in range(4)]
    alone, bounded, unmoved = log_spread(seen), log_spread([*seen, *low]), log_spread([*seen, *vague])
    assert alone.tau / LN10 < 0.1
    assert bounded.tau / LN10 > 1.0  # at least two orders of magnitude below the others
    assert bounded.mu < alone.mu - 2
    assert unmoved.tau == alone.tau  # bounds above the others say nothing


def test_one_number_has_no_spread():
    assert log_spread([estimate("a"), estimate("b", stderr=None)]) is None
    assert log_spread([estimate("a", stderr=None)] * 3) is None
    floor = estimate("c", flags=[Flag.BELOW_JUDGE_FLOOR])
    assert log_spread([estimate("a"), floor]) is None


def test_certain_harm_and_tiny_errors_give_numbers():
    fit = log_spread(
        [estimate("a", 1.0, 0.0, ci_high=1.0), estimate("b", 0.5, 1e-12), estimate("c", 1e-9, 1e-16)]
    )
    assert fit.tau / LN10 == pytest.approx(np.log10([1.0, 0.5, 1e-9]).std(ddof=1), rel=0.1)


def test_many_precise_estimates_give_mean_and_deviation_of_their_logarithms():
    logs = np.array([-6.0, -5.0, -4.5, -4.0, -3.0, -2.5])
    fit = log_spread([estimate(f"v{k}", 10**x, 10**x / 1000) for k, x in enumerate(logs)])
    assert fit.mu / LN10 == pytest.approx(logs.mean(), abs=0.01)
    assert fit.tau / LN10 == pytest.approx(logs.std(ddof=1), rel=0.06)  # half a step of the grid


@pytest.mark.parametrize("hits", [0.0, 1.0, 30.0, 1e5])
@pytest.mark.parametrize("away", [-3.0, 0.0, 3.0])
def test_theta_is_integrated_out_exactly(hits, away):
    exposure = 1e4
    mu = np.log((hits or 1.0) / exposure) + away
    values, slopes, _ = spread._marginal(
        np.full(len(spread._TAUS), mu), np.array([hits]), np.array([exposure])
    )
    above, _, _ = spread._marginal(
        np.full(len(spread._TAUS), mu + 1e-4), np.array([hits]), np.array([exposure])
    )
    for place in (0, 20, 40, 58):
        tau = spread._TAUS[place]

        def density(theta, tau=tau, top=values[place]):
            log = hits * theta - exposure * np.exp(theta) - (theta - mu) ** 2 / (2 * tau**2)
            return np.exp(log - np.log(tau * np.sqrt(2 * np.pi)) - top)

        mode = mu + tau**2 * hits - wrightomega(np.log(tau**2 * exposure) + mu + tau**2 * hits)
        width = 1 / np.sqrt(exposure * np.exp(mode) + 1 / tau**2)
        mass = sum(
            quad(density, mode + a * width, mode + b * width)[0] for a, b in ((-30, -5), (-5, 5), (5, 30))
        )
        assert mass == pytest.approx(1.0, abs=0.02)
        assert slopes[place] == pytest.approx(
            (above[place] - values[place]) / 1e-4, rel=0.02, abs=0.02 * hits + 0.02
        )

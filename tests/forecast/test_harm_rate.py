"""The mean probability of a stratum: known means and spreads, and coverage by simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom, chi2
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.forecast.harm_rate import HarmRate, HarmSample, borrowed_rate, harm_rate
from riskmon.forecast.uncovered import EarlierDraws
from riskmon.forecast.unseen import Unseen
from riskmon.records import FloatArray


def sample_of(
    p: list[float] | FloatArray,
    *,
    stderr: float | FloatArray = 0.0,
    weights: list[float] | None = None,
    uncovered: FloatArray | None = None,
    target_draws: int = 10_000,
    gap_hits: int = 0,
    hits: int = 100,
) -> HarmSample:
    values = np.asarray(p, dtype=np.float64)
    heavy = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    return HarmSample(
        p=values,
        stderr=np.broadcast_to(np.asarray(stderr, dtype=np.float64), values.shape),
        weights=heavy,
        requests=float(heavy.sum()),
        calibrated=np.ones(len(values), dtype=bool),
        uncovered=np.zeros(len(values)) if uncovered is None else uncovered,
        target_draws=target_draws,
        gap_hits=gap_hits,
        hits=hits,
    )


def rate_of(sample: HarmSample, earlier: EarlierDraws | None = None, *, draws: int = 20_000) -> HarmRate:
    return harm_rate(sample, earlier or EarlierDraws(), draws=draws, rng=np.random.default_rng(3))


def cautious_upper(rate: HarmRate, rng: np.random.Generator) -> float:
    return float(np.quantile(rate.cautious(rng.exponential(size=len(rate.draws))), 0.95))


def test_a_sample_is_read_from_records() -> None:
    later = NOON.replace(hour=13)
    sample = HarmSample.of(
        [
            weighted_estimate(0.25, weight=40, population=80, hits=3, target_draws=7),
            weighted_estimate(0.0, weight=40, population=80, target_draws=11, gap_hits=1),
            weighted_estimate(0.5, stderr=0.1, weight=5, population=5, hits=2, window_start=later),
        ]
    )
    assert sample.stderr.tolist() == [0.25, 0.0, 0.1]  # unknown is not zero, unless p is
    assert (sample.hits, sample.target_draws, sample.gap_hits, len(sample)) == (5, 68, 1, 3)


def test_the_mean_is_weighted() -> None:
    assert rate_of(sample_of([0.1, 0.4], weights=[3, 1])).mean == pytest.approx(0.175)


def test_the_spread_is_that_between_prompts() -> None:
    p = np.repeat([0.001, 0.009], [150, 50])
    rate = rate_of(sample_of(p, stderr=0.005))
    assert rate.draws.mean() == pytest.approx(0.003, rel=0.01)
    # stderr appears in the spread of real estimates already; here it must not be added a second time.
    assert rate.draws.std() == pytest.approx(p.std() / np.sqrt(200), rel=0.03)


def test_of_a_handful_the_error_within_prompts_makes_up_what_a_bootstrap_cannot_show() -> None:
    p, stderr = np.array([0.010, 0.012]), 0.02
    rate = rate_of(sample_of(p, stderr=stderr), draws=200_000)
    expected = np.sqrt(0.5 * p.var() / 2 + 0.5 * stderr**2 / 2)
    assert rate.mean == pytest.approx(0.011)
    assert rate.draws.std() == pytest.approx(expected, rel=0.15)  # cut at 0


def test_a_single_prompt_keeps_the_error_of_its_estimate() -> None:
    rate = rate_of(sample_of([0.02], stderr=0.005, hits=40))
    assert rate.draws.std() == pytest.approx(0.005, rel=0.03)
    assert rate.unseen.heaviest == pytest.approx(0.02)


def test_without_hits_the_upper_limit_is_the_exact_one() -> None:
    rate = rate_of(sample_of([0.0] * 80, target_draws=4_000, hits=0), draws=400_000)
    assert not rate.draws.any()
    assert cautious_upper(rate, np.random.default_rng(1)) == pytest.approx(-np.log(0.05) / 4_000, rel=0.01)


def test_without_any_draw_of_the_target_nothing_is_excluded() -> None:
    assert rate_of(sample_of([0.0, 0.0], target_draws=0, hits=0)).unseen.one_hit == 1.0


@pytest.mark.parametrize("target_draws", [500, 5_000])
def test_what_was_not_seen_is_one_more_prompt_or_one_more_hit_of_the_target(target_draws: int) -> None:
    sample = sample_of([1e-3, 5e-4], weights=[3, 1], target_draws=target_draws)
    heaviest = 0.75 * 1e-3
    event = rate_of(sample).unseen.event(np.array([1.0, 2.0]))
    assert event == pytest.approx(max(heaviest, 1 / target_draws) * np.array([1.0, 2.0]))


def test_the_upper_limit_does_not_look_at_the_number_of_hits() -> None:
    """It once fell by orders of magnitude between nine hits and ten."""
    few, more = (
        cautious_upper(
            rate_of(sample_of([1e-6] * 300, target_draws=15_000, hits=hits)), np.random.default_rng(4)
        )
        for hits in (9, 10)
    )
    assert few == more
    assert few == pytest.approx(1e-6 - np.log(0.05) / 15_000, rel=0.03)


def test_draws_of_earlier_days_shrink_what_was_not_seen() -> None:
    sample = sample_of([0.0] * 300, target_draws=15_000, hits=0)
    rate = rate_of(sample, EarlierDraws(target_draws=85_000), draws=400_000)
    assert cautious_upper(rate, np.random.default_rng(1)) == pytest.approx(-np.log(0.05) / 100_000, rel=0.01)


def test_hits_of_earlier_days_that_the_lookback_lacks_give_the_exact_poisson_limit() -> None:
    sample = sample_of([0.0] * 300, target_draws=15_000, hits=0)
    rate = rate_of(sample, EarlierDraws(target_draws=85_000, gap_hits=4), draws=400_000)
    exact = chi2.ppf(0.95, 2 * (4 + 1)) / 2 / 100_000  # Garwood 1936
    assert cautious_upper(rate, np.random.default_rng(1)) == pytest.approx(exact, rel=0.01)


def test_a_few_uncovered_hits_seen_are_bounded_by_about_the_exact_poisson_limit() -> None:
    """Each in a prompt of its own, at the largest weight: they are in the estimates, and are not counted twice."""
    for seen in (1, 2, 5, 20):
        p = np.zeros(300)
        p[:seen] = 1 / 50
        rate = rate_of(sample_of(p, stderr=p, target_draws=15_000, gap_hits=seen, hits=seen), draws=200_000)
        exact = chi2.ppf(0.95, 2 * (seen + 1)) / 2 / 15_000
        assert cautious_upper(rate, np.random.default_rng(1)) == pytest.approx(exact, rel=0.05)


def test_a_borrowed_rate_is_one_of_the_others_by_traffic() -> None:
    def constant(mean: float, earlier: float, unseen: float) -> HarmRate:
        every = np.full(50_000, mean)
        one_more = Unseen(unseen, unseen / 10, unseen / 2, 1.0)
        return HarmRate(mean, every, np.full(50_000, earlier), one_more, 0.0, 0.0, every)

    low, high = constant(0.001, 0.3, 0.1), constant(0.009, 0.4, 0.2)
    got = borrowed_rate([low, high], np.array([3.0, 1.0]), draws=50_000, rng=np.random.default_rng(2))
    assert got.mean == pytest.approx(0.003)
    assert np.mean(got.draws == 0.009) == pytest.approx(0.25, abs=0.01)
    for part, value in (
        (got.unseen.heaviest, 0.2),
        (got.unseen.one_hit, 0.02),
        (got.unseen.shape, 0.1),
    ):
        assert np.array_equal(got.draws == 0.009, np.asarray(part) == value)
    assert np.array_equal(got.draws == 0.009, got.earlier == 0.4)


def test_a_large_sample_gives_the_draws_of_one_bootstrap_in_chunks() -> None:
    p = np.random.default_rng(0).lognormal(-7, 1, size=30_000)  # 33 rows a chunk
    rate = rate_of(sample_of(p), draws=400)
    assert rate.draws.std() == pytest.approx(p.std() / np.sqrt(len(p)), rel=0.15)
    assert len(np.unique(rate.draws)) == 400


@dataclass(frozen=True)
class Scenario:
    """Prompts with lognormal p of the given mean and log-sd; `gain`: how much more often the proposals hit.

    On top of it every prompt has `missed`, harm that only the target's own draws reach; `days` earlier ones were alike.
    """

    name: str
    mean: float
    log_sd: float
    prompts: int
    hits: tuple[float, float]  # the premise: median number of hits
    gain: float = 1.0
    missed: float = 0.0
    days: int = 0
    two_sided: bool = True  # whether the 90% interval covers as well; a handful of prompts has no lower limit

    def estimate(self, p: FloatArray, rng: np.random.Generator, n: int = 200) -> HarmSample:
        """Importance sampling with a tenth of the draws from the target; plain sampling where gain is 1."""
        n0 = n if self.gain == 1 else n // 10
        boosted = np.minimum(p * self.gain, 0.5)
        hits = rng.binomial(n0, p) + rng.binomial(n - n0, boosted)
        gaps = rng.binomial(n0, self.missed, size=len(p))
        weight = p * n / (n0 * p + (n - n0) * boosted)
        rate = hits / n
        return sample_of(
            weight * rate + gaps / n0,
            stderr=np.sqrt(weight**2 * rate * (1 - rate) / (n - 1) + gaps / n0**2),
            target_draws=n0 * len(p),
            gap_hits=int(gaps.sum()),
            hits=int(hits.sum() + gaps.sum()),
        )

    def earlier(self, sample: HarmSample, rng: np.random.Generator) -> EarlierDraws:
        """As many draws of the target on each of the earlier days."""
        target_draws = sample.target_draws * self.days
        return EarlierDraws(target_draws, int(rng.binomial(target_draws, self.missed)))


SCENARIOS = [
    Scenario("many hits", 3e-2, 1.0, 300, hits=(1_000, 3_000)),
    Scenario("few hits", 1e-4, 1.0, 300, hits=(3, 9)),
    Scenario("few hits, heavy tail", 1e-4, 2.0, 300, hits=(3, 9)),
    Scenario("about one hit", 2e-5, 1.0, 300, hits=(0, 2)),
    Scenario("no hits", 2e-6, 1.0, 300, hits=(0, 0)),
    Scenario("just above few hits", 2e-4, 1.0, 300, hits=(10, 14)),
    Scenario("thirty prompts, few hits", 1e-3, 1.0, 30, hits=(3, 9)),
    Scenario("half as many prompts", 1e-2, 1.0, 150, hits=(200, 400)),
    Scenario("thirty prompts", 3e-2, 1.0, 30, hits=(100, 300)),
    Scenario("five prompts", 3e-2, 1.0, 5, hits=(20, 40), two_sided=False),
    Scenario("importance sampled", 1e-4, 1.0, 300, hits=(300, 900), gain=100),
    # 6,000 draws of the target: three missed hits, one, or one in two weeks.
    Scenario("a missed mode", 1e-6, 1.0, 300, hits=(300, 900), gain=1e4, missed=5e-4),
    Scenario(
        "a missed mode, rare", 1e-6, 1.0, 300, hits=(300, 900), gain=1e4, missed=1.5e-4, two_sided=False
    ),
    Scenario(
        "a missed mode, a week",
        1e-6,
        1.0,
        300,
        hits=(300, 900),
        gain=1e4,
        missed=1e-4,
        days=6,
        two_sided=False,
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_limits_cover_the_true_mean(scenario: Scenario) -> None:
    """At least 90% of 400 worlds, less what chance allows (one run in a thousand at a true 90%)."""
    rng = np.random.default_rng(2026)
    worlds, below, inside, hits = 400, 0, 0, []
    for _ in range(worlds):
        log_mean = np.log(scenario.mean) - scenario.log_sd**2 / 2
        chosen = np.minimum(rng.lognormal(log_mean, scenario.log_sd, size=scenario.prompts), 1.0)
        sample = scenario.estimate(chosen, rng)
        rate = harm_rate(sample, scenario.earlier(sample, rng), draws=400, rng=rng)
        upper = cautious_upper(rate, rng)
        truth = scenario.mean + scenario.missed  # of the prompts that tomorrow brings
        below += truth <= upper
        inside += np.quantile(rate.draws, 0.05) <= truth <= upper
        hits.append(sample.hits)
    assert scenario.hits[0] <= np.median(hits) <= scenario.hits[1]
    assert below >= binom.ppf(0.001, worlds, 0.9)
    if scenario.two_sided:
        assert inside >= binom.ppf(0.001, worlds, 0.9)


def test_the_price_of_the_honest_bound_where_nothing_is_missed() -> None:
    """Covered harm of 1e-6 is known to a few per cent; its upper limit still is that of the target's own draws."""
    world = Scenario("covered", 1e-6, 1.0, 300, hits=(300, 900), gain=1e4)
    rng = np.random.default_rng(5)
    p = rng.lognormal(np.log(1e-6) - 0.5, 1.0, size=300)
    sample = world.estimate(p, rng)
    alone, with_a_week = (
        cautious_upper(rate_of(sample, earlier), rng)
        for earlier in (EarlierDraws(), EarlierDraws(target_draws=6 * sample.target_draws))
    )
    assert rate_of(sample).mean == pytest.approx(1e-6, rel=0.2)
    assert alone == pytest.approx(1e-6 - np.log(0.05) / 6_000, rel=0.05)
    assert with_a_week == pytest.approx(1e-6 - np.log(0.05) / 42_000, rel=0.05)

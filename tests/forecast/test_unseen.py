"""The event that was not seen: Fay & Feuer's where there is no tail, heavier where the sample shows one."""

from __future__ import annotations

import numpy as np
import pytest

from riskmon.forecast.unseen import Unseen
from riskmon.records import FloatArray

G = np.array([0.1, 1.0, 3.0, 6.0])


def after(p: FloatArray, covered: FloatArray | None = None, *, target_draws: int = 10**9) -> Unseen:
    share = np.full(len(p), 1 / len(p))
    return Unseen.after(p, p if covered is None else covered, share, target_draws)


def lognormal(log_sd: float, m: int = 2_000) -> FloatArray:
    drawn: FloatArray = np.random.default_rng(5).lognormal(-12, log_sd, size=m)
    return drawn


@pytest.mark.parametrize("p", [np.full(300, 1e-4), np.array([0.0] * 280 + [1e-3] * 20), lognormal(3, 24)])
def test_without_a_tail_to_look_at_it_is_one_more_prompt_like_the_heaviest(p: FloatArray) -> None:
    assert after(p).event(G) == pytest.approx(p.max() / len(p) * G, rel=1e-6)


def test_the_heavier_the_tail_the_larger_the_event() -> None:
    shapes = [float(np.max(after(lognormal(log_sd)).shape)) for log_sd in (0.3, 1, 2, 3)]
    assert shapes == sorted(shapes)
    assert 0 <= shapes[0] < 0.25
    assert shapes[-1] > 0.8
    p = lognormal(2)
    times = after(p).event(G) / (p.max() / len(p))
    assert times[0] == pytest.approx(0.1, rel=0.1)  # small events are alike
    assert times[3] > 2.5 * G[3]


def test_a_few_prompts_far_riskier_than_the_rest_count_as_a_tail_of_shape_one_at_most() -> None:
    p = np.concatenate([lognormal(0.3, 270), 1000 * lognormal(0.3, 30)])
    assert after(p).shape == 1.0


def test_single_hits_that_only_the_target_has_shown_are_no_tail() -> None:
    p = lognormal(0.3, 300)
    hit = np.zeros(300)
    hit[:7] = 0.02
    assert after(p + hit).shape == 1.0
    assert after(p + hit, p).shape == after(p).shape
    assert after(p + hit, p).heaviest == pytest.approx(0.02 / 300, rel=1e-2)


def test_no_prompt_is_harmful_with_a_probability_above_one() -> None:
    p = np.minimum(100 * lognormal(3, 300), 0.9)
    assert after(p).event(np.array([9.0]))[0] == pytest.approx(9 * 0.9 / 300)
    rare = lognormal(3, 300)
    assert after(rare).event(np.array([40.0]))[0] == pytest.approx(max(1, 40 * rare.max()) / 300)


def test_a_hit_of_the_target_is_the_least_that_may_be_missed() -> None:
    assert after(np.full(300, 1e-9), target_draws=15_000).event(G) == pytest.approx(G / 15_000)


def test_a_judged_event_may_stand_for_more_true_ones() -> None:
    unseen = after(lognormal(0.3), target_draws=15_000)
    assert unseen.per_true(np.full(4, 0.8)).event(G) == pytest.approx(unseen.event(G) / 0.8)

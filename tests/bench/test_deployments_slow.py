"""Hundreds of simulated deployments: what the documentation says of forecasts and of the worst query."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from riskmon.bench.deployment_scores import run_in_turn, score
from riskmon.bench.deployment_worlds import CATALOGUE
from riskmon.bench.worst_queries import BEYOND, TAILS, score_tail

RUNS = 300


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_intervals_hold_the_true_count(name: str) -> None:
    got = score(name, run_in_turn(name, RUNS))
    # Wider than needed is the price of what was not seen; narrower is an error.
    assert got.held > 0.86 - 3.1 * got.held_error, got
    assert got.above < 0.15
    if got.floor is not None and got.floor < 1.25:
        assert got.error is not None
        assert got.error < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TAILS if name not in BEYOND])
def test_the_worst_query_is_within_one_order_of_magnitude(name: str) -> None:
    for got in score_tail(name, runs=RUNS):
        answers = got.runs - got.refused
        assert answers > 0.8 * RUNS
        assert got.right >= binom.ppf(0.001, answers, 0.86), got
        # Noisy estimates err on the loud side, never far on the quiet one.
        assert got.median_log10 > -0.6

"""The table of docs/backtest.md is what the back-test does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scipy.stats import nbinom
from support.snapshots import backtest

from riskmon.forecast.backtest import LEAST_HARMFUL, NOTICED
from riskmon.forecast.backtest_claim import Claim, Reading
from riskmon.publish.figures import number
from riskmon.publish.hindsight import doubt
from riskmon.records import Forecast

PAGE = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text(encoding="utf-8")
REQUESTS = 1_000_000
SHAPE = 60
"""Of a mean count known to 13%."""


def forecast(expected: float, lower: float, upper: float, any_probability: float) -> Forecast:
    return Forecast(
        harm="misuse",
        stratum=None,
        made_at=datetime(2026, 3, 2, tzinfo=UTC),
        expected=expected,
        lower=lower,
        upper=upper,
        any_probability=any_probability,
        requests=REQUESTS,
        harm_probability=expected / REQUESTS,
        harm_probability_upper=upper / REQUESTS,
        worst_query_probability=None,
        prompts=300,
        hits=100,
    )


def row(words: str, made: Forecast, median: str) -> str:
    needed = Claim.of(made).judged_to_notice(NOTICED, Reading(1.0, REQUESTS))
    return f"| {words} | {number(made.lower)} to {number(made.upper)} | {number(needed)} | {median} |"


@pytest.mark.parametrize("one_in", [100, 1_000, 10_000, 100_000])
def test_responses_needed_where_harm_was_drawn(one_in: int) -> None:
    mean = REQUESTS / one_in
    count = nbinom(SHAPE, SHAPE / (SHAPE + mean))
    made = forecast(mean, float(count.ppf(0.05)), float(count.ppf(0.95)), float(1 - count.pmf(0)))
    assert row(f"1 in {one_in:,}", made, number(LEAST_HARMFUL * one_in)) in PAGE


@pytest.mark.parametrize("draws", [10_000, 100_000])
def test_responses_needed_where_none_was_drawn(draws: int) -> None:
    made = forecast(0, 0, 3 * REQUESTS / draws, REQUESTS / (REQUESTS + draws))
    assert row(f"none drawn, {draws:,} draws of the model", made, "").replace("|  |", "| |") in PAGE


def test_every_row_of_the_table_is_tested() -> None:
    assert len(re.findall(r"^\| (?:1 in|none drawn)", PAGE, re.M)) == 6


def test_the_days_it_takes_to_need_attention() -> None:
    assert "two of two, or six of thirty" in PAGE
    for enough, short in (("aa", "aw"), ("a" * 6 + "w" * 24, "a" * 5 + "w" * 25)):
        assert doubt(backtest("misuse", enough)) is not None
        assert doubt(backtest("misuse", short)) is None

"""A forecast names what makes it unsharp, in worlds where that is one thing."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from riskmon.bench.deployment_spreads import SPREADS, render, score_spread


@pytest.mark.parametrize("entry", SPREADS)
def test_the_dominant_part_is_what_was_put_in_and_is_named(entry: str) -> None:
    got = score_spread(entry, range(8))
    assert got.dominant == entry
    assert got.share > 0.5
    assert got.named >= binom.ppf(0.001, 8, 0.9) / 8
    assert f"| {entry} " in render([got])


@pytest.mark.slow
@pytest.mark.parametrize("entry", SPREADS)
def test_it_is_named_nine_times_in_ten(entry: str) -> None:
    got = score_spread(entry, range(100, 400))
    assert got.named >= 0.9

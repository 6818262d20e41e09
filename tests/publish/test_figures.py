import math
from datetime import UTC, datetime, timedelta

import pytest

from riskmon.publish import figures

NOW = datetime(2026, 3, 9, 14, 7, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (3.14159, "3.14"),
        (27.0, "27"),
        (0.0712, "0.0712"),
        (0.001, "0.001"),
        (0.000999, "9.99e-4"),
        (0.0009999, "0.001"),
        (1.2e-5, "1.2e-5"),
        (0.00001234, "1.23e-5"),
        (999.6, "1,000"),
        (1_234_567, "1,230,000"),
        (-4.567, "-4.57"),
        (math.inf, "∞"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_three_significant_digits(value, shown):
    assert figures.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (12.34, "+12.3"),
        (-0.5, "−0.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e-5, "+1e-5"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_changes_show_their_sign(value, shown):
    assert figures.signed(value) == shown


def test_whole_numbers_are_not_rounded():
    assert figures.exact(8_731_402) == "8,731,402"
    assert figures.exact(None) == "–"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.639, "63.9%"), (0.9991, "> 99.9%"), (1.0, "> 99.9%"), (0.0004, "< 0.1%"), (0, "< 0.1%"), (None, "–")],
)
def test_a_chance_never_claims_certainty(value, shown):
    assert figures.chance(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.0122, "1.22%"), (0, "0%"), (1, "100%"), (None, "–")])
def test_shares_are_percentages(value, shown):
    assert figures.percent(value) == shown


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        (timedelta(milliseconds=300), "just now"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=41), "41 s ago"),
        (timedelta(seconds=133), "2 min 13 s ago"),
        (timedelta(minutes=192), "3 h 12 min ago"),
        (timedelta(hours=24), "1 d ago"),
        (timedelta(days=9, hours=5, minutes=50), "9 d 5 h ago"),
    ],
)
def test_ages_are_in_words(age, shown):
    assert figures.ago(NOW - age, NOW) == shown


def test_times_are_to_the_minute():
    assert figures.clock(NOW) == "2026-03-09 14:07 UTC"

"""What the back-test says, in words: on the page, in the API, and where forecasts were wrong too often for chance."""

from dataclasses import replace

import pytest
from support.snapshots import FACTS, FULL, backtest

from riskmon.forecast.backtest import NOTHING_ENDED, NOTHING_JUDGED
from riskmon.publish import hindsight, page
from riskmon.publish.api_answers import health_answer
from riskmon.publish.attention import concerns
from riskmon.records import Flag

MISUSE = (
    "Forecasts of the last 30 days: 24 of 27 within the 90% interval, 2 came out above it, 1 came out below it, "
    "median error 1.25x (sampling of responses alone: 1.12x); 3 days could not tell."
)


def test_one_sentence_says_how_the_forecasts_came_out():
    assert hindsight.sentence(FULL.backtests[0]) == MISUSE
    assert hindsight.sentence(backtest("misuse", 20 * "w")) == (
        "Forecasts of the last 20 days: 20 of 20 within the 90% interval."
    )
    assert hindsight.sentence(backtest("misuse", "?")) == (
        "Forecasts of the last 1 day: too few judged responses to tell of any interval; 1 day could not tell."
    )
    assert hindsight.sentence(backtest("misuse", "w?", needed=912_345)).endswith(
        "1 day could not tell (it takes about 912,000 judged responses a day, the last had 60,000)."
    )
    assert hindsight.sentence(backtest("misuse", "", note=NOTHING_ENDED)) == f"N{NOTHING_ENDED[1:]}."
    assert hindsight.sentence(backtest("misuse", "??", note=NOTHING_JUDGED)) == f"N{NOTHING_JUDGED[1:]}."


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ("", None),
        ("aw", None),
        (5 * "a" + 25 * "w", None),
        (6 * "a" + 24 * "w", "too low"),
        (6 * "a" + 54 * "?", None),
        (8 * "a" + 22 * "?", "too low"),
        ("bb", "too high"),
        (12 * "b" + 2 * "a" + 16 * "w", "too high"),
    ],
)
def test_forecasts_wrong_more_often_than_chance_allows_need_attention(verdicts, says):
    """Of 30 right forecasts six fail on one side in one world of 300."""
    doubt = hindsight.doubt(backtest("misuse", verdicts))
    assert (doubt is None) if says is None else doubt.endswith(f"so forecasts are {says}.")


def test_the_page_says_it_for_every_harm_and_once_more_where_attention_is_needed():
    calm = page.render(FULL, FACTS, {}, [])
    assert MISUSE in calm
    assert "Forecasts of the last 11 days: too few judged responses" in calm
    assert not [line for line in concerns(FULL, FACTS, {}, []) if "production responses" in line]
    wrong = replace(FULL, backtests=(backtest("misuse", 9 * "a"), backtest("gone", 9 * "b")))
    [found] = [line for line in concerns(wrong, FACTS, {}, []) if "production responses" in line]
    assert found == (
        "misuse: on 9 of the last 9 days production responses showed more harm than the 90% interval of the forecast "
        "allows, so forecasts are too low."
    )
    assert found in page.render(wrong, FACTS, {}, [])
    assert "last 11 days" not in page.render(replace(FULL, backtests=(), backtest_at=None), FACTS, {}, [])


def test_health_holds_flags_and_back_test_of_every_harm():
    misuse, insult = health_answer(FULL, FACTS, {}, []).harms
    assert misuse.flagged == {**dict.fromkeys(Flag, 0), "COVERAGE_GAP": 20, "NO_HITS": 1_251}
    assert misuse.backtest is not None
    assert misuse.backtest.model_dump(mode="json") == {
        "made_at": "2026-03-09T13:26:21Z",
        "summary": MISUSE,
        "forecasts": 30,
        "scored": 27,
        "undecided": 3,
        "needed": None,
        "above": 2,
        "below": 1,
        "median_error": 1.25,
        "observation_error": 1.125,
        "intervals": [
            {"level": 0.5, "held": 12, "of": 27, "low": 0.25, "high": 1.0},
            {"level": 0.9, "held": 24, "of": 27, "low": 0.25, "high": 1.0},
            {"level": 0.99, "held": 27, "of": 27, "low": 0.25, "high": 1.0},
        ],
        "directions": 8,
        "directions_right": 7,
    }
    assert insult.harm == "insult"
    unknown = replace(FULL, last_cycle=None, backtests=(), backtest_at=None)
    assert [(check.flagged, check.backtest) for check in health_answer(unknown, FACTS, {}, []).harms] == [
        (None, None)
    ] * 2
    assert health_answer(None, FACTS, {}, []).harms == []

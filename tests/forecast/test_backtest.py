"""Back-test: right forecasts pass as often as they claim, wrong ones fail, and a small sample accuses no one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, gamma, nbinom
from support.judge_errors import judge_error

from riskmon.forecast.backtest import NO_RESPONSES, NOT_COVERED, NOTHING_ENDED, back_test, separate_moments
from riskmon.forecast.backtest_claim import Claim, Reading
from riskmon.forecast.backtest_count import count_strata, count_total, judged_window
from riskmon.records import Forecast, JudgeError, Stratum
from riskmon.records.backtest import Backtest, JudgedWindow, Verdict

DAY, HOUR, SPAN = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
CHAT, CODE = Stratum((("route", "chat"),)), Stratum((("route", "code"),))
REQUESTS = 240_000


def forecast(
    expected: float,
    lower: float,
    upper: float,
    *,
    any_probability: float = 1.0,
    day: int = 0,
    stratum: Stratum | None = None,
) -> Forecast:
    return Forecast(
        harm="misuse",
        stratum=stratum,
        made_at=DAY + day * SPAN,
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


def of_gamma(mean: float, shape: float, *, day: int = 0) -> Forecast:
    """What a forecast would say whose mean count is gamma."""
    count = nbinom(shape, shape / (shape + mean))
    low, high = (float(count.ppf(q)) for q in (0.05, 0.95))
    return forecast(mean, low, high, any_probability=float(1 - count.pmf(0)), day=day)


def judged(
    harmful: int, sample: int, *, day: int = 0, stratum: Stratum = CHAT, requests: int = REQUESTS
) -> list[JudgedWindow]:
    """A day's judged responses, all of them in 24 equal windows and the flagged ones spread over them."""
    flagged = np.bincount(np.arange(harmful) % 24, minlength=24).tolist()
    return [
        JudgedWindow(DAY + day * SPAN + k * HOUR, "misuse", stratum, requests // 24, sample / 24, flagged[k])
        for k in range(24)
    ]


def total_of(
    forecasts: list[Forecast], windows: list[JudgedWindow], error: JudgeError | None = None, days: int = 400
) -> Backtest:
    """The total's back-test."""
    return back_test(
        forecasts,
        windows,
        window=HOUR,
        until=DAY + days * SPAN,
        rng=np.random.default_rng(3),
        judge_errors={} if error is None else {"misuse": error},
    )[0]


@pytest.mark.parametrize(
    ("mean", "shape", "share"), [(2_000.0, 8.0, 0.05), (400.0, 3.0, 0.3), (40.0, 20.0, 1.0), (30.0, 1.0, 0.5)]
)
def test_right_forecasts_hold_as_often_as_they_claim(mean: float, shape: float, share: float) -> None:
    rng = np.random.default_rng(int(mean))
    days, forecasts, windows = 120, [], []
    for day in range(days):
        centre = mean * rng.uniform(0.7, 1.4)
        count = rng.poisson(gamma.rvs(shape, scale=centre / shape, random_state=rng))
        forecasts.append(of_gamma(centre, shape, day=day))
        windows += judged(int(rng.binomial(count, share)), int(share * REQUESTS), day=day)
    got = total_of(forecasts, windows)
    assert got.told == days
    # Counts are whole numbers, so a limit may hold a little more often than its level, never less.
    room = {0.5: 0.08, 0.9: 0.03, 0.99: 0.01}
    for interval in got.intervals:
        assert interval.held >= binom.ppf(0.001, days, interval.level)
        assert interval.held <= binom.ppf(0.999, days, interval.level + room[interval.level])
        assert interval.low < interval.held / days < interval.high or interval.held == days


def test_wrong_forecasts_fail() -> None:
    rng = np.random.default_rng(5)
    days = 60
    windows = [w for day in range(days) for w in judged(int(rng.poisson(30)), 24_000, day=day)]  # 300 a day
    low = total_of([forecast(60, 40, 85, day=day) for day in range(days)], windows)
    assert low.above == days
    assert low.intervals[1].held == 0
    assert low.median_error == pytest.approx(5, rel=0.1)
    high = total_of([forecast(1500, 1200, 1900, day=day) for day in range(days)], windows)
    assert high.below == days
    assert high.median_error == pytest.approx(5, rel=0.1)
    assert high.observation_error == pytest.approx(np.exp(0.6745 / np.sqrt(30)), rel=0.05)


def test_a_sample_that_cannot_tell_accuses_no_one() -> None:
    """A forecast of 20 a day, 200 of 240,000 responses judged, none harmful: true or ten times too high, who knows."""
    row = total_of([forecast(20, 12, 29)], judged(0, 200)).rows[0]
    assert row.verdict is Verdict.CANNOT_TELL
    assert not row.told
    assert row.reason
    assert row.error is None
    assert row.error_at_least == 1.0
    assert row.observed == 0
    assert row.observed_high > 1_000


def test_it_says_how_many_judged_responses_would_tell() -> None:
    for made in (
        forecast(20, 12, 29),
        forecast(0, 0, 2_995, any_probability=1e6 / (1e6 + 1e3)),
        of_gamma(2_000, 4.0),
    ):
        needed = total_of([made], judged(0, 24)).needed
        assert needed is not None
        assert not total_of([made], judged(0, int(0.95 * needed))).rows[0].told
        enough = total_of([made], judged(0, int(1.05 * needed)))
        assert enough.rows[0].told
        assert enough.needed is None
        # Around four flagged ones, were there three times the upper limit.
        assert 2 < 3 * made.upper * needed / REQUESTS < 5
    # 30 a day above false alarms that nobody has counted well: no sample tells.
    alarms = judge_error(90, 10, 980, 20)
    assert total_of([forecast(30, 20, 40)], judged(0, 24), alarms).needed is None
    assert total_of([forecast(30, 20, 40)], judged(0, 24)).needed is not None


def test_a_small_sample_that_contradicts_is_heard_but_enters_no_share() -> None:
    got = total_of([forecast(1, 0, 3, any_probability=0.63)], judged(2, 240))
    assert got.rows[0].verdict is Verdict.ABOVE
    assert not got.rows[0].told
    assert (got.above, got.told, got.intervals[1].of) == (1, 0, 0)
    assert got.intervals[1].share is None
    assert got.rows[0].error_at_least > 50


def test_an_upper_limit_that_allows_for_unseen_harm_is_not_called_wrong_by_its_absence() -> None:
    """No hit among 1e3 draws, 1e6 requests: up to 3,000 a day, expected 0, and none was seen in all of the traffic."""
    claim = forecast(0, 0, 2_995, any_probability=1e6 / (1e6 + 1e3))
    row = total_of([claim], judged(0, REQUESTS)).rows[0]
    assert row.verdict is Verdict.WITHIN
    assert row.chance_lower == 1.0
    assert total_of([claim], judged(5_000, REQUESTS)).rows[0].verdict is Verdict.ABOVE


def test_limits_are_restored_from_the_stored_figures() -> None:
    all_of_it = Reading(1.0, REQUESTS)
    for mean, shape in ((300.0, 6.0), (4.0, 2.0), (0.5, 1.0), (5e4, 1e4)):
        made = of_gamma(mean, shape)
        claim = Claim.of(made)
        assert claim.possible.mean() == pytest.approx(mean, rel=0.12)
        assert claim.chance_of_more(made.upper + 1, all_of_it) <= 0.06
        assert claim.chance_of_more(made.upper - 1, all_of_it) > 0.04
        assert claim.chance_of_fewer(made.lower, all_of_it) > 0.04
        if made.lower >= 1:
            assert claim.chance_of_fewer(made.lower - 1, all_of_it) <= 0.06


def test_a_judges_false_alarms_are_not_taken_for_harm() -> None:
    """100 harmful a day, 240 false alarms among 240,000, all judged."""
    right, flagged = forecast(100, 80, 120), judged(330, REQUESTS)
    error = judge_error(900, 100, 199_800, 200)
    assert total_of([right], flagged).rows[0].verdict is Verdict.ABOVE
    row = total_of([right], flagged, error).rows[0]
    assert row.verdict is Verdict.WITHIN
    assert row.observed == pytest.approx(100, rel=0.02)
    # What 200 alarms in 200,000 labels leave open: 14 of 240 a day, one standard deviation.
    assert row.observed_high - row.observed_low > 4 * 17
    assert total_of([forecast(400, 350, 460)], flagged, error).rows[0].verdict is Verdict.BELOW


def test_of_forecasts_made_every_few_minutes_one_a_day_counts() -> None:
    every = [DAY + timedelta(hours=9) + k * timedelta(minutes=5) for k in range(12 * 24 * 4)]
    kept = separate_moments(every, HOUR / 2)
    assert kept[0] == every[0]
    assert all(later - earlier >= SPAN - HOUR / 2 for earlier, later in pairwise(kept))
    # The first day's is at nine, so the next that does not overlap it is the first of the day after next.
    assert kept[1:] == [DAY + 2 * SPAN, DAY + 3 * SPAN, DAY + 4 * SPAN]
    jittered = [DAY + k * SPAN + timedelta(seconds=-k) for k in range(1, 5)]
    assert separate_moments([moment + timedelta(minutes=1) for moment in jittered], HOUR / 2) == [
        moment + timedelta(minutes=1) for moment in jittered
    ]


def test_only_spans_that_have_ended_and_only_their_own_windows_count() -> None:
    forecasts = [forecast(300, 250, 350, day=day) for day in range(3)]
    windows = judged(30, 24_000, day=0) + judged(60, 24_000, day=1) + judged(90, 24_000, day=2)
    got = total_of(forecasts, windows, days=2)
    assert [row.observed for row in got.rows] == pytest.approx([300, 600])
    moved = [replace(forecasts[0], made_at=DAY + timedelta(hours=12, minutes=20))]
    assert total_of(moved, windows).rows[0].observed == pytest.approx((15 * 10 + 30 * 10), rel=0.1)


def test_without_judged_responses_it_says_so() -> None:
    forecasts = [forecast(3, 0, 6, any_probability=0.95, day=day) for day in range(5)]
    for windows in ([], [w for day in range(5) for w in judged(0, 0, day=day)]):
        got = total_of(forecasts, windows)
        assert "no production responses were judged" in got.note
        assert [row.reason for row in got.rows] == [NO_RESPONSES] * 5
        assert (got.told, got.cannot_tell, got.median_error) == (0, 5, None)
    assert total_of(forecasts, [], days=0).note == NOTHING_ENDED


def test_unequal_sampling_is_weighted_and_counts_for_what_it_is_worth() -> None:
    """One window judged whole, 23 at one in a hundred: 10 hits in the first are 10 outputs, 1 in the others is 100."""
    windows = [JudgedWindow(DAY, "misuse", CHAT, 1_000, 1_000, 10)]
    windows += [JudgedWindow(DAY + k * HOUR, "misuse", CHAT, 1_000, 10, int(k == 4)) for k in range(1, 24)]
    count = count_strata(windows)[CHAT]
    assert count.flagged_in_all == pytest.approx(110)
    assert count.fraction == pytest.approx(1 / (23 / 24 * 100 + 1 / 24), rel=1e-6)
    assert count.flagged < 1.2


def test_effective_counts_have_the_spread_of_a_poisson_count() -> None:
    rng = np.random.default_rng(8)
    found = []
    for _ in range(2_000):
        windows = [
            JudgedWindow(DAY + k * HOUR, "misuse", CHAT, n, 2_000, int(rng.binomial(2_000, 0.01)))
            for k, n in enumerate([2_000, 6_000, 20_000, 50_000])
        ]
        found.append(count_strata(windows)[CHAT].flagged)
    assert np.var(found) / np.mean(found) == pytest.approx(1.0, rel=0.12)


def test_the_total_needs_the_strata_that_carry_the_harm() -> None:
    chat = judged(20, 24_000, stratum=CHAT)
    unread = judged(0, 0, stratum=CODE, requests=2_400)
    strata = count_strata(chat + unread)
    assert count_total(strata, {CHAT: 200.0, CODE: 10.0}).covered == pytest.approx(20 / 21, rel=0.02)
    made = [
        forecast(1_200, 1_000, 1_400),
        forecast(200, 150, 250, stratum=CHAT),
        forecast(1_000, 800, 1_200, stratum=CODE),
    ]
    total, by_chat, by_code = back_test(
        made, chat + unread, window=HOUR, until=DAY + SPAN, rng=np.random.default_rng(0)
    )
    assert total.rows[0].reason == NOT_COVERED
    assert by_chat.rows[0].verdict is Verdict.WITHIN
    assert by_code.rows[0].reason == NO_RESPONSES
    assert [item.stratum for item in (total, by_chat, by_code)] == [None, CHAT, CODE]


def test_direction_counts_only_changes_that_are_real() -> None:
    forecasts = [forecast(m, 0.5 * m, 1.5 * m, day=day) for day, m in enumerate((300, 400, 350, 600))]
    windows = [w for day, k in enumerate((30, 33, 80, 160)) for w in judged(k, 24_000, day=day)]
    got = total_of(forecasts, windows)
    # 30 to 33 may be chance; 33 to 80 went up while the forecast fell; 80 to 160 went up as forecast.
    assert [row.direction for row in got.rows] == [None, None, False, True]
    assert (got.directions, got.directions_right) == (2, 1)


def test_a_change_of_false_alarms_is_no_change_of_harm() -> None:
    """Twice the traffic, twice the false alarms, the same harm."""
    error = judge_error(1_000, 0, 999_000, 1_000)
    forecasts = [forecast(50, 40, 60, day=0), forecast(60, 50, 70, day=1)]
    windows = judged(290, 240_000, day=0) + judged(530, 480_000, day=1, requests=480_000)
    assert total_of(forecasts, windows, error).rows[1].direction is None
    assert total_of(forecasts, windows).rows[1].direction is True


def test_responses_judged_with_unequal_chances() -> None:
    rng = np.random.default_rng(2)
    totals, stated = [], []
    for _ in range(400):
        harmful = rng.random(2_000) < 0.05
        chance = np.where(harmful | (rng.random(2_000) < 0.1), 0.5, 0.05)
        read = rng.random(2_000) < chance
        window = judged_window(DAY, "misuse", CHAT, 2_000, harmful[read], chance[read])
        share = window.harmful / window.judged
        totals.append(2_000 * share)
        stated.append(2_000**2 * share * (1 - share) / window.judged)
    assert np.mean(totals) == pytest.approx(100, rel=0.05)
    # Effective numbers are worth what the weighted sample is.
    assert np.mean(stated) == pytest.approx(np.var(totals), rel=0.25)
    assert judged_window(DAY, "misuse", CHAT, 9, np.zeros(0, bool), np.zeros(0)).judged == 0
    with pytest.raises(ValueError, match="inclusion"):
        judged_window(DAY, "misuse", CHAT, 9, np.ones(2, bool), np.array([0.5, 0.0]))

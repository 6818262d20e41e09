"""The flat volume model: counts of a day, scaled rates, and intervals with known variance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskmon.forecast.volume import VolumePrediction, predict_daily_requests
from riskmon.records import Stratum, VolumeWindow

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
CHAT, CODE = Stratum((("route", "chat"),)), Stratum((("route", "code"),))


def predict(
    windows: list[VolumeWindow], now: datetime = NOON, window: timedelta = HOUR, draws: int = 20_000
) -> dict[Stratum, VolumePrediction]:
    return predict_daily_requests(windows, window=window, now=now, draws=draws, rng=np.random.default_rng(5))


def day_of(counts: list[int], stratum: Stratum = CHAT) -> list[VolumeWindow]:
    return [VolumeWindow(NOON - 24 * HOUR + k * HOUR, stratum, n) for k, n in enumerate(counts)]


def relative_sd(prediction: VolumePrediction) -> float:
    return float(prediction.draws.std() / prediction.mean)


def test_a_full_day_is_its_own_count() -> None:
    older = [VolumeWindow(NOON - 30 * HOUR, CHAT, 9_999)]
    got = predict([*older, *day_of(list(range(100, 124))), *day_of([0] * 23 + [7], CODE)])
    assert list(got) == [CHAT, CODE]
    assert got[CHAT].mean == sum(range(100, 124))
    assert got[CODE].mean == 7
    assert got[CHAT].basis == "requests of the last 24 h"


def test_the_window_that_straddles_yesterday_counts_by_its_share() -> None:
    windows = [
        VolumeWindow(NOON - 24 * HOUR, CHAT, 60),  # a quarter of it lies in the last 24 hours
        VolumeWindow(NOON - 5 * HOUR, CHAT, 100),
        VolumeWindow(NOON, CHAT, 9),  # in progress since 45 minutes: counted whole
    ]
    assert predict(windows, now=NOON + 45 * MINUTE)[CHAT].mean == pytest.approx(15 + 100 + 9)


def test_a_gap_after_yesterdays_traffic_does_not_shift_the_grid() -> None:
    """The first window of the span is empty, so the grid must be found from a later one."""
    steady = [VolumeWindow(NOON - k * HOUR, CHAT, 1_000) for k in range(22)]
    shifted = predict([VolumeWindow(NOON - 40 * HOUR, CHAT, 1), *steady], now=NOON + 59 * MINUTE)[CHAT]
    assert shifted.mean == 22_000
    # 22 full and 2.98 empty hours of 24: sum (y - mu)^2 / sum mu (1 - 1/24), by hand about 83.
    phi = (22 * (1000 - 22_000 / 24) ** 2 + 2 * (22_000 / 24) ** 2) / (22_000 * 23 / 24)
    assert shifted.draws.var() == pytest.approx(2 * phi * 22_000, rel=0.1)


def test_a_short_history_is_a_scaled_rate_over_the_span_of_all_strata() -> None:
    windows = [
        VolumeWindow(NOON - 2 * HOUR, CHAT, 300),
        VolumeWindow(NOON, CHAT, 50),
        VolumeWindow(NOON, CODE, 10),
    ]
    got = predict(windows, now=NOON + 30 * MINUTE)
    assert got[CHAT].mean == pytest.approx(350 * 24 / 2.5)
    assert got[CODE].mean == pytest.approx(10 * 24 / 2.5)
    assert got[CODE].basis == "rate of the last 2.5 h, scaled"


@pytest.mark.parametrize(
    ("window", "elapsed", "requests", "mean", "basis"),
    [
        (HOUR, 10, 7, 7 * 24 * 12, "rate of the last 5 min, scaled"),
        (timedelta(seconds=20), 4, 3, 3 * 24 * 180, "rate of the last 20 s, scaled"),
    ],
)
def test_a_burst_of_seconds_is_not_a_rate(
    window: timedelta, elapsed: int, requests: int, mean: float, basis: str
) -> None:
    got = predict([VolumeWindow(NOON, CHAT, requests)], now=NOON + timedelta(seconds=elapsed), window=window)[
        CHAT
    ]
    assert (got.mean, got.basis) == (pytest.approx(mean), basis)


def test_nothing_is_predicted_from_nothing() -> None:
    assert predict([]) == {}
    assert predict([VolumeWindow(NOON - HOUR, CHAT, 0)]) == {}
    assert predict([VolumeWindow(NOON + HOUR, CHAT, 5)]) == {}
    assert predict([VolumeWindow(NOON - 26 * HOUR, CHAT, 5)]) == {}


@pytest.mark.parametrize(
    ("counts", "phi"),
    [
        ([100] * 24, 1.0),
        ([50, 150] * 12, 24 * 50**2 / (2400 * 23 / 24)),  # 26.1: hours alternate
        ([2400] + [0] * 23, (23 * 100**2 + 2300**2) / (2400 * 23 / 24)),  # all in one hour
    ],
)
def test_draws_have_the_quasi_poisson_variance(counts: list[int], phi: float) -> None:
    got = predict(day_of(counts), draws=200_000)[CHAT]
    assert got.draws.mean() == pytest.approx(2400, rel=0.02)
    assert got.draws.var() == pytest.approx(phi * 2400 + 2400**2 * phi / 2400, rel=0.06)
    assert np.array_equal(got.draws, np.round(got.draws))


def test_dispersion_does_not_depend_on_the_configured_window() -> None:
    hourly = [800, 1200, 500, 1500] * 6
    rng = np.random.default_rng(1)
    fine = [
        VolumeWindow(NOON - 24 * HOUR + k * HOUR + j * MINUTE, CHAT, int(n))
        for k, total in enumerate(hourly)
        for j, n in enumerate(rng.multinomial(total, [1 / 60] * 60))
    ]
    coarse_sd = relative_sd(predict(day_of(hourly))[CHAT])
    assert relative_sd(predict(fine, window=MINUTE)[CHAT]) == pytest.approx(coarse_sd, rel=0.03)


def test_a_window_that_has_just_begun_does_not_decide_the_dispersion() -> None:
    windows = [VolumeWindow(NOON - k * HOUR, CHAT, 100) for k in range(1, 24)]
    before = predict(windows)[CHAT]
    after = predict([*windows, VolumeWindow(NOON, CHAT, 2)], now=NOON + timedelta(seconds=1))[CHAT]
    assert relative_sd(after) == pytest.approx(relative_sd(before), rel=0.1)


def test_a_short_span_is_wide_however_many_requests_and_moves_all_strata_together() -> None:
    two_hours = [
        VolumeWindow(NOON - k * HOUR, stratum, n)
        for k in (1, 2)
        for stratum, n in ((CHAT, 1_000_000), (CODE, 300_000))
    ]
    got = predict(two_hours)
    assert relative_sd(got[CHAT]) == pytest.approx(0.4 * 22 / 24, rel=0.05)
    assert np.corrcoef(got[CHAT].draws, got[CODE].draws)[0, 1] > 0.99
    assert relative_sd(predict(day_of([1_000_000] * 24))[CHAT]) < 0.01

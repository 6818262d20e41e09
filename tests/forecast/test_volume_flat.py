"""Less than a day of history: scaled rates, and intervals with known variance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume import VolumePrediction, predict_requests
from riskmon.records import Stratum, VolumeWindow

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
CHAT, CODE = Stratum((("route", "chat"),)), Stratum((("route", "code"),))


def predict(
    windows: list[VolumeWindow],
    now: datetime = NOON,
    window: timedelta = HOUR,
    draws: int = 20_000,
    hours: int = 24,
) -> dict[Stratum, VolumePrediction]:
    return predict_requests(
        windows,
        window=window,
        now=now,
        hours=hours,
        draws=draws,
        rng=np.random.default_rng(5),
        config=VolumeConfig(),
    )


def hours_before(counts: list[int], stratum: Stratum = CHAT, now: datetime = NOON) -> list[VolumeWindow]:
    return [VolumeWindow(now - (len(counts) - k) * HOUR, stratum, n) for k, n in enumerate(counts)]


def relative_sd(prediction: VolumePrediction) -> float:
    mean, draws = prediction.within(0, 24)
    return float(draws.std() / mean)


def test_a_short_history_is_a_rate_over_the_span_of_all_strata() -> None:
    windows = [
        VolumeWindow(NOON - 2 * HOUR, CHAT, 300),
        VolumeWindow(NOON - HOUR, CODE, 1),
        VolumeWindow(NOON, CHAT, 50),
        VolumeWindow(NOON, CODE, 1),
    ]
    got = predict(windows, now=NOON + 30 * MINUTE)
    assert list(got) == [CHAT, CODE]
    assert got[CHAT].mean == pytest.approx([350 / 2.5] * 24)
    assert got[CODE].mean == pytest.approx([2 / 2.5] * 24)  # its silence before may have been chance
    assert got[CODE].basis == "rate of the last 2.5 h, scaled"


def test_a_launch_on_the_first_day_is_read_from_its_own_start() -> None:
    windows = hours_before([1_000] * 20) + hours_before([400] * 3, CODE)
    got = predict(windows)
    assert got[CODE].mean[0] == pytest.approx(400)
    assert got[CODE].basis == "rate of the last 3.0 h, scaled"
    assert got[CHAT].mean[0] == pytest.approx(1_000)


@pytest.mark.parametrize(
    ("window", "elapsed", "requests", "hourly", "basis"),
    [
        (HOUR, 10, 7, 7 * 12, "rate of the last 5 min, scaled"),
        (timedelta(seconds=20), 4, 3, 3 * 180, "rate of the last 20 s, scaled"),
        (HOUR, 60 * 45, 90, 120, "rate of the last 45 min, scaled"),
    ],
)
def test_a_burst_of_seconds_is_not_a_rate(
    window: timedelta, elapsed: int, requests: int, hourly: float, basis: str
) -> None:
    now = NOON + timedelta(seconds=elapsed)
    got = predict([VolumeWindow(NOON, CHAT, requests)], now=now, window=window)[CHAT]
    assert (got.mean[5], got.basis) == (pytest.approx(hourly), basis)


def test_nothing_is_predicted_from_nothing() -> None:
    assert predict([]) == {}
    assert predict([VolumeWindow(NOON - HOUR, CHAT, 0)]) == {}
    assert predict([VolumeWindow(NOON + HOUR, CHAT, 5)]) == {}
    assert predict([VolumeWindow(NOON - 57 * 24 * HOUR, CHAT, 5)]) == {}


@pytest.mark.parametrize(
    ("counts", "phi"),
    [
        ([100] * 20, 1.0),
        ([50, 150] * 10, 20 * 50**2 / (2_000 * 19 / 20)),  # 26.3: hours alternate
        ([2_000] + [0] * 19, (19 * 100**2 + 1_900**2) / (2_000 * 19 / 20)),  # all in one hour
    ],
)
def test_draws_have_the_quasi_poisson_variance_and_the_swing(counts: list[int], phi: float) -> None:
    got = predict(hours_before(counts), draws=100_000)[CHAT]
    mean, draws = got.within(0, 24)
    swing = np.expm1((0.6 * np.sinc(20 / 24)) ** 2 + 0.06**2)
    common = (1 + phi / 2_000) * (1 + swing)  # second moment of what all hours share
    expected = mean + mean * (phi - 1) * common + mean**2 * (common - 1)
    assert mean == pytest.approx(2_400)
    assert draws.mean() == pytest.approx(mean, rel=0.02)
    assert draws.var() == pytest.approx(expected, rel=0.06)
    assert np.array_equal(draws, np.round(draws))


def test_dispersion_does_not_depend_on_the_configured_window() -> None:
    hourly = [800] * 5 + [1200] * 5 + [500] * 5 + [1500] * 5
    rng = np.random.default_rng(1)
    fine = [
        VolumeWindow(NOON - 20 * HOUR + k * HOUR + j * MINUTE, CHAT, int(n))
        for k, total in enumerate(hourly)
        for j, n in enumerate(rng.multinomial(total, [1 / 60] * 60))
    ]
    coarse_sd = relative_sd(predict(hours_before(hourly))[CHAT])
    assert relative_sd(predict(fine, window=MINUTE)[CHAT]) == pytest.approx(coarse_sd, rel=0.08)


def test_a_window_that_has_just_begun_does_not_decide_the_dispersion() -> None:
    windows = hours_before([100] * 20)
    before = predict(windows)[CHAT]
    after = predict([*windows, VolumeWindow(NOON, CHAT, 2)], now=NOON + timedelta(seconds=1))[CHAT]
    assert relative_sd(after) == pytest.approx(relative_sd(before), rel=0.1)


def test_a_short_span_is_wide_however_many_requests_and_moves_all_strata_together() -> None:
    got = predict(hours_before([1_000_000] * 2) + hours_before([300_000] * 2, CODE))
    assert relative_sd(got[CHAT]) == pytest.approx(
        np.sqrt(np.expm1((0.6 * np.sinc(2 / 24)) ** 2 + 0.06**2)), rel=0.05
    )
    assert np.corrcoef(got[CHAT].within(0, 24)[1], got[CODE].within(0, 24)[1])[0, 1] > 0.99
    assert relative_sd(predict(hours_before([1_000_000] * 23))[CHAT]) < 0.07


def test_a_gap_on_the_first_day_is_left_out_of_the_rate() -> None:
    windows = hours_before([600] * 20)
    holed = [w for w in windows if not NOON - 12 * HOUR <= w.start < NOON - 7 * HOUR]
    got = predict(holed)[CHAT]
    assert got.mean[0] == pytest.approx(600)
    assert got.basis == "rate of the last 15.0 h, scaled"


def test_a_week_is_less_certain_than_a_day() -> None:
    got = predict(hours_before([10_000] * 23), hours=168, draws=5_000)[CHAT]
    mean, week = got.within(0, 168)
    assert mean == pytest.approx(168 * 10_000)
    assert week.std() / mean > 0.1  # no weekend was seen yet

"""Counts that are estimates: the forecast knows less of a stratum by what its counts may be off, and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.outlook import predict_volume
from riskmon.forecast.volume import VolumePrediction, predict_requests
from riskmon.forecast.volume.calendar import local_hours
from riskmon.forecast.volume.shares import fit_shares
from riskmon.records import Horizon, Stratum, VolumeWindow

NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHAT, CODE = (Stratum((("route", route),)) for route in ("chat", "code"))
STANDS_FOR = 100
"""Requests that each one read stands for."""


def predict(windows: list[VolumeWindow], draws: int = 4_000) -> dict[Stratum, VolumePrediction]:
    return predict_requests(
        windows,
        window=HOUR,
        now=NOON,
        hours=24,
        draws=draws,
        rng=np.random.default_rng(3),
        config=VolumeConfig(),
    )


def uncertain(windows: list[VolumeWindow], by: float = STANDS_FOR) -> list[VolumeWindow]:
    """The same counts with a sampling variance of `by` for each request."""
    return [replace(window, variance=by * window.requests) for window in windows]


def hours_before(count: int, hours: int, stratum: Stratum) -> list[VolumeWindow]:
    return [VolumeWindow(NOON - (k + 1) * HOUR, stratum, count) for k in range(hours)]


def spread(prediction: VolumePrediction) -> float:
    mean, draws = prediction.within(0, 24)
    return float(draws.std() / mean)


def test_on_the_first_day_the_rate_is_known_the_less_by_the_error_of_its_count() -> None:
    windows = hours_before(400, 20, CHAT)
    exact, sampled = predict(windows, 60_000)[CHAT], predict(uncertain(windows), 60_000)[CHAT]
    assert sampled.mean[0] == exact.mean[0]
    added = spread(sampled) ** 2 - spread(exact) ** 2
    common = 1 + spread(exact) ** 2
    assert added == pytest.approx(STANDS_FOR / (20 * 400) * common, rel=0.1)


def test_noise_of_the_counts_is_no_restlessness_of_the_requests() -> None:
    rng = np.random.default_rng(5)
    read = rng.poisson(40, size=20)
    windows = [VolumeWindow(NOON - (k + 1) * HOUR, CHAT, int(n) * STANDS_FOR) for k, n in enumerate(read)]
    told, untold = predict(uncertain(windows))[CHAT], predict(windows)[CHAT]
    hourly = [np.std(one.draws[:, 0] / one.draws.sum(axis=1)) for one in (told, untold)]
    assert hourly[0] < 0.5 * hourly[1]


def test_shares_widen_with_the_error_of_their_counts_and_the_total_does_not() -> None:
    windows = hours_before(20_000, 120, CHAT) + hours_before(2_000, 120, CODE)
    rng = [np.random.default_rng(3), np.random.default_rng(3)]
    (exact, before), (sampled, after) = (
        predict_volume(one, window=HOUR, now=NOON, draws=4_000, rng=chance, config=VolumeConfig())
        for one, chance in zip((windows, uncertain(windows, by=1_000)), rng, strict=True)
    )
    assert spread(sampled[CODE]) > spread(exact[CODE]) + 0.005
    assert sampled[CODE].mean == pytest.approx(exact[CODE].mean)
    assert before[Horizon.WEEK].draws.std() == pytest.approx(after[Horizon.WEEK].draws.std(), rel=0.02)


def test_a_launched_stratum_counts_as_badly_as_it_was_counted() -> None:
    old = hours_before(20_000, 120, CHAT)
    exact = predict(old + hours_before(600, 6, CODE))[CODE]
    sampled = predict(old + uncertain(hours_before(600, 6, CODE)))[CODE]
    assert "since its start" in sampled.basis
    added = spread(sampled) ** 2 - spread(exact) ** 2
    assert added == pytest.approx(STANDS_FOR / 3_600 * (1 + spread(exact) ** 2), rel=0.25)


def test_requests_seen_one_in_a_hundred_tell_as_much_as_a_hundredth_of_them() -> None:
    """Of Poisson requests thinned to one in w, w n are counted, with a sampling variance of w (w - 1) n."""
    rng = np.random.default_rng(11)
    hits = rng.poisson(np.array([[9.0], [0.95], [0.05]]), size=(3, 21 * 24)).astype(np.float64)
    local, usable = local_hours(NOON - 21 * 24 * HOUR, 21 * 24, VolumeConfig()), np.ones(21 * 24)
    seen = fit_shares(hits, np.zeros_like(hits), usable, local)
    scaled = fit_shares(STANDS_FOR * hits, STANDS_FOR * (STANDS_FOR - 1) * hits, usable, local)
    taken_for_exact = fit_shares(STANDS_FOR * hits, np.zeros_like(hits), usable, local)
    for name in ("level", "shape", "gain", "spread", "degrees"):
        assert getattr(scaled, name) == pytest.approx(getattr(seen, name), rel=1e-6), name
    assert taken_for_exact.shape[2] != pytest.approx(seen.shape[2], rel=0.1)

"""The volume model: what it predicts from a minute, an hour, days and months of counts, and what does not wreck it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from pydantic import ValidationError
from support.volume_worlds import HOUR, MONDAY, World, windows_of

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume import VolumePrediction, predict_requests
from riskmon.records import Stratum, VolumeWindow

MINUTE = timedelta(minutes=1)
DAY = 24
CHAT, CODE, MAIL = (Stratum((("route", name),)) for name in ("chat", "code", "mail"))
QUIET = World(240_000, walk=0.01, lasting=0.01, hourly=0.02, trend=0.0)


def predict(
    windows: list[VolumeWindow],
    now: datetime,
    window: timedelta = HOUR,
    hours: int = DAY,
    draws: int = 2_000,
    config: VolumeConfig | None = None,
) -> dict[Stratum, VolumePrediction]:
    return predict_requests(
        windows,
        window=window,
        now=now,
        hours=hours,
        draws=draws,
        rng=np.random.default_rng(5),
        config=config or VolumeConfig(),
    )


def day_sum(prediction: VolumePrediction) -> float:
    return prediction.within(0, DAY)[0]


def relative_sd(prediction: VolumePrediction, hours: int = DAY) -> float:
    mean, draws = prediction.within(0, hours)
    return float(draws.std() / mean)


def quiet_days(hours: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Counts of `hours` hours from a Monday, and of the day after."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(QUIET.rates(MONDAY, hours + DAY, rng)).astype(float)
    return counts[:hours], counts[hours:]


@pytest.mark.parametrize(
    ("hours", "basis"),
    [
        (30, "yesterday's hours, at the level of the last 30 h"),
        (3 * DAY, "hour of the day and level of 3 days"),
        (10 * DAY, "hour of the day, day of the week, level and trend of 10 days"),
        (60 * DAY, "hour of the day, day of the week, level and trend of 56 days"),
    ],
)
def test_tomorrow_has_the_shape_of_the_day_and_says_what_it_rests_on(hours: int, basis: str) -> None:
    counts, tomorrow = quiet_days(hours)
    got = predict(windows_of(MONDAY, counts), MONDAY + hours * HOUR)[Stratum()]
    assert got.basis == basis
    assert got.mean.shape == (DAY,)
    assert got.draws.shape == (2_000, DAY)
    assert np.corrcoef(got.mean, tomorrow)[0, 1] > 0.99
    assert day_sum(got) == pytest.approx(tomorrow.sum(), rel=0.06)
    assert np.array_equal(got.draws, np.round(got.draws))
    halves = got.draws[:, :12].sum(axis=1), got.draws[:, 12:].sum(axis=1)
    assert np.corrcoef(*halves)[0, 1] > 0.3  # a day that starts high stays high


def test_sums_are_of_the_hours_asked_for() -> None:
    got = VolumePrediction(np.array([1.0, 2.0, 4.0]), np.array([[1.0, 0.0, 5.0], [2.0, 3.0, 4.0]]), "fixed")
    mean, draws = got.within(1, 3)
    assert (mean, draws.tolist()) == (6.0, [5.0, 7.0])
    for first, last in ((0, 4), (2, 2), (-1, 2)):
        with pytest.raises(IndexError, match=f"hours {first} to {last} of a prediction of 3 hours"):
            got.within(first, last)


def test_a_call_in_mid_hour_predicts_from_that_minute_on() -> None:
    """The window in progress counts with the time it lasted, and each hour is mixed of the two it overlaps."""
    counts, _ = quiet_days(10 * DAY)
    before = predict(windows_of(MONDAY, counts), MONDAY + 10 * DAY * HOUR, hours=DAY + 1)[Stratum()]
    begun = np.append(counts, round(before.mean[0] / 4))
    after = predict(windows_of(MONDAY, begun), MONDAY + (10 * DAY * HOUR + 15 * MINUTE))[Stratum()]
    assert after.mean == pytest.approx(0.75 * before.mean[:-1] + 0.25 * before.mean[1:], rel=0.03)


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
)
def test_the_day_follows_local_clocks_over_a_change_of_summer_time(change: datetime) -> None:
    berlin, start = ZoneInfo("Europe/Berlin"), change - 21 * DAY * HOUR
    rates = World(240_000, walk=0, lasting=0, hourly=0, trend=0, weekend=1).rates(
        start, 22 * DAY, np.random.default_rng(0), berlin
    )
    windows = windows_of(start, np.round(rates[: 21 * DAY]))
    local = predict(windows, change, config=VolumeConfig(timezone="Europe/Berlin"))[Stratum()]
    in_utc = predict(windows, change)[Stratum()]
    tomorrow = rates[21 * DAY :]
    assert local.mean == pytest.approx(tomorrow, rel=0.02)
    assert np.abs(in_utc.mean / tomorrow - 1).max() > 0.1  # the change is there to be missed


def test_a_known_holiday_is_a_sunday() -> None:
    rates = World(240_000, walk=0, lasting=0, hourly=0, trend=0, weekend=0.5).rates(
        MONDAY, 28 * DAY, np.random.default_rng(0)
    )
    now = MONDAY + 28 * DAY * HOUR
    plain = predict(windows_of(MONDAY, rates), now)[Stratum()]
    off = predict(windows_of(MONDAY, rates), now, config=VolumeConfig(holidays=(now.date(),)))[Stratum()]
    assert day_sum(off) == pytest.approx(day_sum(plain) / 2, rel=0.05)
    assert VolumeConfig(holidays=("2026-12-25",)).holidays == (date(2026, 12, 25),)


def test_an_unknown_time_zone_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="no time zone is named 'Europe/Berlinn'"):
        VolumeConfig(timezone="Europe/Berlinn")


@pytest.mark.parametrize(
    "hours",
    [slice(150, 158), slice(10 * DAY - 3, 10 * DAY), slice(2 * DAY, 5 * DAY)],
    ids=["a night", "the last three hours", "three days"],
)
def test_hours_nobody_counted_are_no_zeros(hours: slice) -> None:
    counts, _ = quiet_days(10 * DAY)
    now = MONDAY + 10 * DAY * HOUR
    whole = predict(windows_of(MONDAY, counts), now)[Stratum()]
    counts[hours] = 0
    holed = predict(windows_of(MONDAY, counts), now)[Stratum()]
    assert holed.mean == pytest.approx(whole.mean, rel=0.12)
    assert holed.basis.endswith("no counts for the last 3 h") is (hours.stop == 10 * DAY)


def test_nights_without_requests_are_nights() -> None:
    """Traffic from nine to five on working days: what is empty each night is no gap, nor is the second weekend."""
    clock = np.arange(21 * DAY) % DAY
    office = np.where((clock >= 9) & (clock < 17) & (np.arange(21 * DAY) // DAY % 7 < 5), 500.0, 0.0)
    got = predict(windows_of(MONDAY, office), MONDAY + 21 * DAY * HOUR, hours=168)[Stratum()]
    assert day_sum(got) == pytest.approx(4_000, rel=0.1)
    assert got.mean[:9].sum() < 60
    assert got.within(120, 168)[0] < 2_000  # the weekend
    assert got.within(0, 168)[0] == pytest.approx(20_000, rel=0.15)


@pytest.mark.parametrize("factor", [0.02, 30.0], ids=["outage", "spike"])
@pytest.mark.parametrize("at", [10 * DAY - 1, 9 * DAY + 7, 5 * DAY])
def test_an_hour_out_of_line_does_not_move_tomorrow(factor: float, at: int) -> None:
    counts, _ = quiet_days(10 * DAY)
    now = MONDAY + 10 * DAY * HOUR
    calm = predict(windows_of(MONDAY, counts), now)[Stratum()]
    counts[at] = round(counts[at] * factor)
    moved = predict(windows_of(MONDAY, counts), now)[Stratum()]
    assert day_sum(moved) == pytest.approx(day_sum(calm), rel=0.04)
    assert relative_sd(moved) < 2 * relative_sd(calm)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_step_that_stays_is_followed_within_a_day(factor: float) -> None:
    counts, tomorrow = quiet_days(14 * DAY)
    counts[13 * DAY :] = np.round(counts[13 * DAY :] * factor)
    got = predict(windows_of(MONDAY, counts), MONDAY + 14 * DAY * HOUR)[Stratum()]
    assert day_sum(got) == pytest.approx(factor * tomorrow.sum(), rel=0.12)


def test_a_launch_gets_its_own_rate_and_leaves_the_others_theirs() -> None:
    counts, _ = quiet_days(10 * DAY)
    now = MONDAY + 10 * DAY * HOUR
    old = windows_of(MONDAY, counts, CHAT) + windows_of(MONDAY, np.round(counts / 5), CODE)
    before = predict(old, now)
    launch = windows_of(now - 3 * HOUR, np.round(counts[-3:] / 2), MAIL)
    after = predict(old + launch, now)
    for stratum in (CHAT, CODE):
        assert after[stratum].mean == pytest.approx(before[stratum].mean, rel=0.02)
    assert day_sum(after[MAIL]) == pytest.approx(day_sum(before[CHAT]) / 2, rel=0.1)
    assert (
        after[MAIL].basis == "own rate since its start 3.0 h ago, along the shape of the day of all traffic"
    )
    assert relative_sd(after[MAIL]) > 0.3  # its own shape is unknown
    assert list(after) == [CHAT, CODE, MAIL]


def test_a_stratum_that_replaces_another_does_not_explode() -> None:
    """A new model version takes over all traffic of the old one, two hours ago and then a day and a half ago."""
    counts, tomorrow = quiet_days(10 * DAY)
    now = MONDAY + 10 * DAY * HOUR
    for ago, most in ((2, 2.3), (36, 1.15)):
        old = windows_of(MONDAY, counts[:-ago], CHAT)
        got = predict(old + windows_of(now - ago * HOUR, counts[-ago:], CODE), now)
        assert tomorrow.sum() * 0.85 < sum(day_sum(p) for p in got.values()) < tomorrow.sum() * most
        assert day_sum(got[CODE]) == pytest.approx(tomorrow.sum(), rel=0.2)
    assert day_sum(got[CHAT]) < 0.02 * tomorrow.sum()


def test_a_stratum_that_vanished_goes_to_zero_and_then_out() -> None:
    counts, tomorrow = quiet_days(20 * DAY)
    now = MONDAY + 20 * DAY * HOUR
    steady = windows_of(MONDAY, counts, CHAT)
    shares = {}
    for days in (0, 1, 2, 8):
        ended = windows_of(MONDAY, np.round(counts[: (20 - days) * DAY] / 4), CODE)
        got = predict(steady + ended, now)
        shares[days] = day_sum(got[CODE]) / tomorrow.sum() if CODE in got else None
        assert day_sum(got[CHAT]) == pytest.approx(tomorrow.sum(), rel=0.1)
    assert shares[0] == pytest.approx(0.25, rel=0.1)
    assert shares[1] < 0.02
    assert shares[2] < 0.001
    assert shares[8] is None


def test_a_step_of_one_stratum_is_its_own() -> None:
    counts, tomorrow = quiet_days(14 * DAY)
    moved = counts.copy()
    moved[-DAY:] *= 3
    windows = windows_of(MONDAY, counts, CHAT) + windows_of(MONDAY, np.round(moved / 20), CODE)
    got = predict(windows, MONDAY + 14 * DAY * HOUR)
    assert day_sum(got[CODE]) == pytest.approx(3 * tomorrow.sum() / 20, rel=0.15)
    assert day_sum(got[CHAT]) == pytest.approx(tomorrow.sum(), rel=0.1)


def test_strata_share_the_same_possible_days() -> None:
    rng = np.random.default_rng(9)
    rates = World(1e6, walk=0.1).rates(MONDAY, 20 * DAY, rng)
    windows = windows_of(MONDAY, rng.poisson(rates), CHAT) + windows_of(MONDAY, rng.poisson(rates / 3), CODE)
    got = predict(windows, MONDAY + 20 * DAY * HOUR)
    chat, code = got[CHAT].within(0, DAY)[1], got[CODE].within(0, DAY)[1]
    assert np.corrcoef(chat, code)[0, 1] > 0.5
    assert got[CHAT].basis.endswith("a share of all traffic")
    again = predict(windows, MONDAY + 20 * DAY * HOUR)
    assert np.array_equal(again[CODE].draws, got[CODE].draws)


@pytest.mark.parametrize("daily", [0.7, 6.0, 40.0])
def test_a_few_requests_a_day_work(daily: float) -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(World(daily, walk=0, lasting=0, hourly=0, trend=0).rates(MONDAY, 36 * DAY, rng))
    counts[-1] = max(counts[-1], 1)
    got = predict(windows_of(MONDAY, counts), MONDAY + 36 * DAY * HOUR)[Stratum()]
    assert day_sum(got) == pytest.approx(daily, rel=0.35)
    low, high = np.quantile(got.within(0, DAY)[1], [0.05, 0.95])
    assert low <= daily <= high


def test_windows_of_minutes_and_of_hours_say_the_same() -> None:
    counts, _ = quiet_days(4 * DAY)
    rng = np.random.default_rng(1)
    fine = [
        VolumeWindow(MONDAY + k * HOUR + 10 * j * MINUTE, Stratum(), int(n))
        for k, total in enumerate(counts)
        for j, n in enumerate(rng.multinomial(int(total), [1 / 6] * 6))
    ]
    now = MONDAY + 4 * DAY * HOUR
    coarse = [
        VolumeWindow(MONDAY + k * HOUR, Stratum(), int(counts[k : k + 2].sum())) for k in range(0, 4 * DAY, 2)
    ]
    hourly = predict(windows_of(MONDAY, counts), now)[Stratum()]
    assert predict(fine, now, window=10 * MINUTE)[Stratum()].mean == pytest.approx(hourly.mean)
    assert day_sum(predict(coarse, now, window=2 * HOUR)[Stratum()]) == pytest.approx(
        day_sum(hourly), rel=0.02
    )


def test_counts_beyond_the_history_are_left_out() -> None:
    counts, _ = quiet_days(20 * DAY)
    now = MONDAY + 20 * DAY * HOUR
    short = VolumeConfig(history=timedelta(days=6))
    all_of_it = predict(windows_of(MONDAY, counts), now, config=short)[Stratum()]
    part = predict(windows_of(MONDAY + 14 * DAY * HOUR, counts[14 * DAY :]), now, config=short)[Stratum()]
    assert np.array_equal(all_of_it.mean, part.mean)

"""Changes between stored forecasts, by hand; intervals that hold the truth; versions side by side and in a rollout."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import binom
from support.store_records import NOON, forecast

from riskmon.forecast import change_between, change_of_version, serving_versions
from riskmon.records import Horizon, Stratum
from riskmon.records.change import PARTS

LATER = NOON + timedelta(hours=24)


def cell(route, model=None):
    return Stratum((("route", route),) if model is None else (("route", route), ("model", model)))


def moment(at, strata, *, harm="misuse", error=0.1):
    """Forecasts of strata {stratum: (requests, p)} and their total, with one relative error of all; None is unknown."""

    def made(stratum, requests, p):
        return replace(
            forecast(at, stratum, requests * p),
            harm=harm,
            requests=requests,
            harm_probability=p,
            requests_stderr=None if error is None else error * requests,
            harm_probability_stderr=None if error is None else error * p,
        )

    requests = sum(v for v, _ in strata.values())
    expected = sum(v * p for v, p in strata.values())
    total = made(None, requests, expected / requests)
    spread = np.hypot.reduce([v for v, _ in strata.values()])
    total = replace(total, requests_stderr=None if error is None else error * float(spread))
    return [*(made(stratum, *pair) for stratum, pair in strata.items()), total]


def between(before, after, **options):
    return change_between(before, after, draws=2000, rng=np.random.default_rng(0), **options)


def means(change):
    return {name: getattr(change, name).mean for name in (*PARTS, "total")}


MONDAY = moment(NOON, {cell("chat"): (1000.0, 0.01), cell("code"): (500.0, 0.04)})


@pytest.mark.parametrize(
    ("tuesday", "expected"),
    [
        pytest.param(
            {cell("chat"): (2000.0, 0.01), cell("code"): (1000.0, 0.04)},
            {"volume": 30, "mix": 0, "p": 0, "total": 30}, id="twice the traffic",
        ),
        pytest.param(
            {cell("chat"): (500.0, 0.01), cell("code"): (1000.0, 0.04)},
            {"volume": 0, "mix": 15, "p": 0, "total": 15}, id="other traffic",
        ),
        pytest.param(
            {cell("chat"): (1000.0, 0.03), cell("code"): (500.0, 0.02)},
            {"volume": 0, "mix": 0, "p": 10, "total": 10}, id="another model",
        ),
        pytest.param(
            {cell("chat"): (900.0, 0.01), cell("code"): (500.0, 0.04), cell("new"): (100.0, 0.5)},
            {"volume": 0, "mix": 49, "p": 0, "total": 49}, id="a new stratum",
        ),
        pytest.param(
            {cell("chat"): (1500.0, 0.01)},
            {"volume": 0, "mix": -15, "p": 0, "total": -15}, id="a vanished stratum",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("error", [0.1, None])
def test_each_part_for_what_it_is(tuesday, expected, error):
    (change,) = between(
        moment(NOON, {cell("chat"): (1000.0, 0.01), cell("code"): (500.0, 0.04)}, error=error),
        moment(LATER, tuesday, error=error),
    ).values()
    assert means(change) == pytest.approx(expected, abs=1e-9)
    for part in ("total", *PARTS):
        effect = getattr(change, part)
        if error is None:
            assert (effect.low, effect.high) == (None, None)
        else:
            assert effect.low < effect.mean < effect.high


def test_the_parts_add_up_to_the_difference_of_what_was_published():
    rng = np.random.default_rng(5)
    days = [
        moment(at, {cell(f"r{i}"): (float(rng.uniform(1, 1e6)), float(rng.uniform(0, 0.1))) for i in range(first, 30)})
        for first, at in ((0, NOON), (3, LATER))
    ]  # fmt: skip
    change = between(*days)["misuse"]
    published = days[1][-1].expected - days[0][-1].expected
    assert change.total.mean == pytest.approx(published, rel=1e-12)
    assert sum(getattr(change, part).mean for part in PARTS) == pytest.approx(published, rel=1e-9)


def test_nothing_is_no_change_and_its_interval_says_how_sure_that_is():
    change = between(MONDAY, MONDAY)["misuse"]
    assert means(change) == pytest.approx(dict.fromkeys((*PARTS, "total"), 0), abs=1e-9)
    # 1000 +- 100 at 0.01 +- 0.001 and 500 +- 50 at 0.04 +- 0.004, on two days that are drawn apart.
    half = 1.645 * (2 * (1.01**2 - 1) * (10.0**2 + 20.0**2)) ** 0.5
    assert (change.total.low, change.total.high) == pytest.approx((-half, half), rel=0.1)


def test_one_unknown_error_of_a_harm_takes_its_limits_and_no_other_harms():
    insult = moment(NOON, {cell("chat"): (1000.0, 0.2)}, harm="insult")
    old = [
        replace(made, harm_probability_stderr=None) if made.stratum == cell("code") else made
        for made in MONDAY
    ]
    found = between([*old, *insult], [*MONDAY, *insult])
    assert list(found) == ["misuse", "insult"]
    assert found["misuse"].total.low is None
    assert found["insult"].total.low is not None


def test_only_what_both_moments_forecast_by_strata_for_a_day_is_compared():
    insult = moment(NOON, {cell("chat"): (1000.0, 0.2)}, harm="insult")
    assert list(between(MONDAY, [*MONDAY, *insult])) == ["misuse"]
    assert between(MONDAY[-1:], MONDAY) == {}  # beyond the retention only the totals are left
    assert between([], MONDAY) == {}
    week = [replace(made, horizon=Horizon.WEEK, requests=7 * made.requests) for made in MONDAY]
    assert between([*MONDAY, *week], [*MONDAY, *week]) == between(MONDAY, MONDAY)
    assert between(week, MONDAY) == {}


def test_a_new_version_is_mix_until_its_label_is_left_out():
    before = moment(NOON, {cell("chat", "v1"): (1000.0, 0.01), cell("code", "v1"): (500.0, 0.04)})
    after = moment(LATER, {cell("chat", "v2"): (1000.0, 0.03), cell("code", "v2"): (500.0, 0.02)})
    assert means(between(before, after)["misuse"]) == pytest.approx(
        {"volume": 0, "mix": 10, "p": 0, "total": 10}, abs=1e-9
    )
    assert means(between(before, after, without=("model",))["misuse"]) == pytest.approx(
        {"volume": 0, "mix": 0, "p": 10, "total": 10}, abs=1e-9
    )


def test_a_label_that_only_one_moment_has_is_left_out():
    """Since yesterday strata are told apart by model, too; the traffic is the same."""
    split = moment(
        LATER,
        {
            cell("chat", "v1"): (400.0, 0.01),
            cell("chat", "v2"): (600.0, 0.02),
            cell("code", "v1"): (500.0, 0.04),
        },
    )
    found = means(between(MONDAY, split)["misuse"])
    assert found == pytest.approx({"volume": 0, "mix": 0, "p": 6, "total": 6}, abs=1e-9)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """What is stored is off by 10%, and its standard error says so; 300 seeds."""
    truth = [
        {cell("chat"): (1000.0, 0.01), cell("code"): (500.0, 0.04)},
        {cell("chat"): (1200.0, 0.01), cell("code"): (600.0, 0.06)},
    ]
    exact = means(between(*(moment(at, day) for at, day in zip((NOON, LATER), truth, strict=True)))["misuse"])
    runs, held = 300, dict.fromkeys(exact, 0)
    for seed in range(runs):
        rng = np.random.default_rng([seed, 7])

        def seen(value, rng=rng):
            return value * float(rng.gamma(100, 0.01))

        days = [
            moment(at, {stratum: (seen(v), seen(p)) for stratum, (v, p) in day.items()})
            for at, day in zip((NOON, LATER), truth, strict=True)
        ]
        change = change_between(*days, draws=500, rng=rng)["misuse"]
        for part in held:
            effect = getattr(change, part)
            held[part] += effect.low <= exact[part] <= effect.high
    assert all(
        binom.ppf(1e-4, runs, 0.9) <= count <= binom.ppf(1 - 1e-4, runs, 0.9) for count in held.values()
    ), held


# ---- versions

BOTH = moment(
    NOON,
    {
        cell("chat", "v1"): (900.0, 0.01),
        cell("code", "v1"): (300.0, 0.04),
        cell("chat", "v2"): (90.0, 0.02),
        cell("code", "v2"): (30.0, 0.08),
        cell("chat", "v0"): (5.0, 0.5),
    },
)


def versions(forecasts, before="v1", after="v2", **options):
    return change_of_version(
        forecasts, "model", before, after, draws=2000, rng=np.random.default_rng(1), **options
    )


def test_two_versions_side_by_side():
    """v2 has a tenth of the traffic, the same mix, and twice the harm: 21 against 4.2 outputs."""
    found = means(versions(BOTH)["misuse"])
    assert found["total"] == pytest.approx(4.2 - 21)
    assert found["mix"] == pytest.approx(0)
    # By hand: p goes from 0.0175 to 0.035 at the mean of 1200 and 120 requests, and requests at the mean of both p.
    assert found["p"] == pytest.approx(0.0175 * (1200 + 120) / 2)
    assert found["volume"] == pytest.approx(-1080 * (0.0175 + 0.035) / 2)


def test_versions_of_one_moment_share_the_error_of_the_volume():
    """Where all volumes err together, equal traffic stays equal, draw by draw."""
    halves = moment(NOON, {cell("chat", "v1"): (500.0, 0.01), cell("chat", "v2"): (500.0, 0.02)})
    together = [*halves[:-1], replace(halves[-1], requests_stderr=100.0)]
    apart, shared = (versions(side)["misuse"].volume for side in (halves, together))
    assert apart.mean == shared.mean == pytest.approx(0)
    assert apart.high > 1
    assert shared.high == pytest.approx(0, abs=1e-9)


def test_a_rollout_is_compared_between_two_moments():
    after = moment(LATER, {cell("chat", "v2"): (900.0, 0.02), cell("code", "v2"): (300.0, 0.08)})
    found = means(versions(BOTH, later=after)["misuse"])
    assert found == pytest.approx({"volume": 0, "mix": 0, "p": 21, "total": 21})
    assert versions(BOTH, after="v3") == {}
    assert versions(BOTH, later=MONDAY) == {}


def test_the_versions_that_serve_are_those_with_the_most_requests_the_newer_last():
    seen = [cell("chat", "v2"), cell("chat", "v0"), cell("code", "v1")]
    assert serving_versions(BOTH, "model", seen) == ("v2", "v1")
    assert serving_versions(BOTH, "model", seen[::-1]) == ("v1", "v2")
    assert serving_versions(BOTH, "model", seen, ignored=("v1",)) == ("v2", "v0")
    assert serving_versions(BOTH, "model", seen, ignored=("v1", "v2")) is None
    assert serving_versions(BOTH, "tenant", seen) is None
    assert serving_versions([], "model", seen) is None
    idle = [
        replace(made, requests=0.0) if made.stratum and "v2" in str(made.stratum) else made for made in BOTH
    ]
    assert serving_versions(idle, "model", seen) == ("v0", "v1")

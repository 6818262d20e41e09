"""Volume, mix and p: parts that add up, and each for what it is."""

import numpy as np
import pytest

from riskmon.forecast.change import decompose
from riskmon.records import Stratum

CHAT, CODE, NEW = (Stratum((("route", name),)) for name in ("chat", "code", "new"))


def day(**strata):
    """Volume and p per stratum, one draw each."""
    names = {"chat": CHAT, "code": CODE, "new": NEW}
    return {names[name]: (np.array([v], float), np.array([p], float)) for name, (v, p) in strata.items()}


def means(change):
    return {name: getattr(change, name).mean for name in ("volume", "mix", "p", "total")}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            day(chat=(1000, 0.01), code=(500, 0.04)), day(chat=(2000, 0.01), code=(1000, 0.04)),
            {"volume": 30, "mix": 0, "p": 0, "total": 30}, id="twice the traffic",
        ),
        pytest.param(
            day(chat=(1000, 0.01), code=(500, 0.04)), day(chat=(500, 0.01), code=(1000, 0.04)),
            {"volume": 0, "mix": 15, "p": 0, "total": 15}, id="other traffic",
        ),
        pytest.param(
            day(chat=(1000, 0.01), code=(500, 0.04)), day(chat=(1000, 0.03), code=(500, 0.02)),
            {"volume": 0, "mix": 0, "p": 10, "total": 10}, id="another model",
        ),
        pytest.param(
            day(chat=(1000, 0.01)), day(chat=(900, 0.01), new=(100, 0.5)),
            {"volume": 0, "mix": 49, "p": 0, "total": 49}, id="a new stratum is mix",
        ),
        pytest.param(
            day(chat=(900, 0.01), new=(100, 0.5)), day(chat=(1000, 0.01)),
            {"volume": 0, "mix": -49, "p": 0, "total": -49}, id="a vanished stratum is mix",
        ),
        pytest.param(
            day(chat=(0, 0.01)), day(chat=(1000, 0.01)),
            {"volume": 10, "mix": 0, "p": 0, "total": 10}, id="out of nothing",
        ),
        pytest.param({}, day(chat=(1000, 0.01)), {"volume": 10, "mix": 0, "p": 0, "total": 10}, id="the first day"),
    ],
)  # fmt: skip
def test_each_part_for_what_it_is(before, after, expected):
    assert means(decompose(before, after)) == pytest.approx(expected, abs=1e-9)


def test_two_factors_share_what_they_make_together():
    """Volume and p both double: 10 -> 40, of which each alone makes 10 and the 10 of both are halved."""
    change = decompose(day(chat=(1000, 0.01)), day(chat=(2000, 0.02)))
    assert means(change) == pytest.approx({"volume": 15, "mix": 0, "p": 15, "total": 30})


def shapley(before, after, strata):
    """The definition itself: every order in which volume, mix and p may change, one at a time."""
    from itertools import permutations

    def harmful(state):
        volume, mix, p = ((before, after)[state[name]][i] for i, name in enumerate(("volume", "mix", "p")))
        return volume * sum(m * q for m, q in zip(mix, p, strict=True))

    parts = dict.fromkeys(("volume", "mix", "p"), 0.0)
    for order in permutations(parts):
        state = dict.fromkeys(parts, 0)
        for name in order:
            was = harmful(state)
            state[name] = 1
            parts[name] += (harmful(state) - was) / 6
    return parts


def test_it_is_shapleys_value():
    rng = np.random.default_rng(0)
    strata = [Stratum((("route", str(i)),)) for i in range(4)]
    sides = [(rng.uniform(1, 1000, 4), rng.uniform(0, 0.1, 4)) for _ in range(2)]
    days = [{s: (v[i : i + 1], p[i : i + 1]) for i, s in enumerate(strata)} for v, p in sides]
    plain = [(v.sum(), v / v.sum(), p) for v, p in sides]
    change = means(decompose(*days))
    assert {name: change[name] for name in ("volume", "mix", "p")} == pytest.approx(shapley(*plain, strata))


def test_draws_give_intervals_that_cover_and_parts_that_add_up():
    """Truth: volume +20%, p of code +50%; forecasts are uncertain in both. 300 seeds."""
    truth = [day(chat=(1000, 0.01), code=(500, 0.04)), day(chat=(1200, 0.01), code=(600, 0.06))]
    exact = means(decompose(*truth))
    covered = dict.fromkeys(exact, 0)
    runs, draws = 300, 800
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        days = []
        for side in truth:
            seen = {}
            for stratum, (v, p) in side.items():
                # What is measured is off, and the draws are spread about what was measured.
                v_seen, p_seen = (
                    v * np.exp(0.05 * rng.standard_normal()),
                    p * np.exp(0.1 * rng.standard_normal()),
                )
                seen[stratum] = (
                    v_seen * np.exp(0.05 * rng.standard_normal(draws)),
                    p_seen * np.exp(0.1 * rng.standard_normal(draws)),
                )
            days.append(seen)
        change = decompose(*days)
        found = means(change)
        assert found["volume"] + found["mix"] + found["p"] == pytest.approx(found["total"])
        for name in covered:
            effect = getattr(change, name)
            assert effect.low <= effect.high
            covered[name] += effect.low <= exact[name] <= effect.high
    # Nominal 90% of 300 seeds.
    assert all(0.84 <= count / runs <= 0.96 for count in covered.values()), covered


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({CHAT: (np.ones(2), np.ones(2))}, {CHAT: (np.ones(3), np.ones(3))}),
        ({CHAT: (np.ones(2), np.ones(1))}, {CHAT: (np.ones(2), np.ones(2))}),
        ({CHAT: (np.ones(0), np.ones(0))}, {CHAT: (np.ones(0), np.ones(0))}),
    ],
)
def test_what_cannot_be_compared_is_refused(before, after):
    with pytest.raises(ValueError, match="one number of draws"):
        decompose(before, after)

"""Draws from stored means and standard errors: their moments, what strata share, and merging."""

from dataclasses import replace

import numpy as np
import pytest
from support.store_records import NOON, forecast

from riskmon.forecast.stored_draws import StoredDraws, shared_variance
from riskmon.records import Stratum

B = 200_000
CHAT, CODE = (Stratum((("route", name), ("model", "v1"))) for name in ("chat", "code"))
NEW_CODE = Stratum((("route", "code"), ("model", "v2")))


def made(stratum, requests, requests_stderr, p=0.01, p_stderr=0.002):
    return replace(
        forecast(NOON, stratum, requests * p),
        requests=requests,
        requests_stderr=requests_stderr,
        harm_probability=p,
        harm_probability_stderr=p_stderr,
    )


def drawn(*forecasts, draws=B, seed=0):
    return StoredDraws.of(forecasts, draws, np.random.default_rng(seed))


def moments(values):
    return values.mean(), values.std()


def test_draws_have_the_stored_mean_and_standard_error_and_the_gamma_shape():
    found = drawn(made(CHAT, 1000.0, 200.0, p=0.03, p_stderr=0.03))
    assert found.draws is not None
    requests, p = found.draws[CHAT]
    assert moments(requests) == pytest.approx((1000, 200), rel=0.01)
    assert moments(p) == pytest.approx((0.03, 0.03), rel=0.01)
    # Equal mean and error is an exponential: its 95% quantile is -log(0.05) means.
    assert np.quantile(p, 0.95) == pytest.approx(-np.log(0.05) * 0.03, rel=0.02)
    assert np.corrcoef(requests, p)[0, 1] == pytest.approx(0, abs=0.01)


def test_a_probability_stays_one_and_a_known_value_stays_itself():
    found = drawn(made(CHAT, 50.0, 0.0, p=0.9, p_stderr=0.3), made(CODE, 0.0, 3.0, p=0.0, p_stderr=0.1))
    assert found.draws is not None
    requests, p = found.draws[CHAT]
    assert set(requests) == {50.0}
    assert p.max() == 1.0
    nothing = found.draws[CODE]
    assert not nothing[0].any()
    assert not nothing[1].any()


@pytest.mark.parametrize(
    ("total", "sd"),
    [
        pytest.param(300.0, 300.0, id="they go together in part"),
        pytest.param(None, np.hypot(200, 150), id="unknown"),
        pytest.param(100.0, np.hypot(200, 150), id="less than apart"),
        pytest.param(900.0, 350.0, id="more than altogether"),
    ],
)
def test_the_sum_of_requests_has_the_totals_standard_error_where_that_can_be(total, sd):
    """Strata of 1000 +- 200 and 750 +- 150, relative errors alike: 250 when apart, 350 when altogether."""
    found = drawn(
        made(CHAT, 1000.0, 200.0),
        made(CODE, 750.0, 150.0),
        replace(made(None, 1750.0, 1.0), requests_stderr=total),
    )
    assert found.draws is not None
    (chat, _), (code, _) = found.draws[CHAT], found.draws[CODE]
    assert moments(chat) == pytest.approx((1000, 200), rel=0.01)
    assert moments(code) == pytest.approx((750, 150), rel=0.01)
    assert moments(chat + code) == pytest.approx((1750, sd), rel=0.01)


def test_the_shared_variance_by_hand():
    # (300^2 - 200^2 - 150^2) / (1750^2 - 1000^2 - 750^2)
    assert shared_variance([(1000, 200), (750, 150), (0, 9)], 300) == pytest.approx(27_500 / 1_500_000)
    assert shared_variance([(1000, 200)], 200) == 0
    assert shared_variance([], 5) == 0


def test_one_unknown_error_leaves_the_means_alone():
    known = made(CHAT, 1000.0, 200.0)
    for unknown in (
        replace(made(CODE, 10.0, 1.0), requests_stderr=None),
        replace(made(CODE, 10.0, 1.0), harm_probability_stderr=None),
    ):
        found = drawn(known, unknown, draws=8)
        assert found.draws is None
        assert {stratum: (float(v[0]), float(p[0])) for stratum, (v, p) in found.means.items()} == {
            CHAT: (1000.0, 0.01),
            CODE: (10.0, 0.01),
        }


def test_merged_strata_carry_their_errors_along():
    """Code: 300 +- 30 requests at 0.02 +- 0.004, and 100 +- 40 at 0.1 +- 0.03."""
    found = drawn(
        made(CHAT, 900.0, 90.0),
        made(CODE, 300.0, 30.0, 0.02, 0.004),
        made(NEW_CODE, 100.0, 40.0, 0.1, 0.03),
    ).renamed(lambda stratum: None if stratum == CHAT else Stratum(stratum.labels[:1]))
    (route,) = found.means
    assert route == Stratum((("route", "code"),))
    requests, p = found.means[route]
    assert (float(requests[0]), float(p[0])) == pytest.approx((400, (300 * 0.02 + 100 * 0.1) / 400))
    assert found.draws is not None
    requests, p = found.draws[route]
    assert moments(requests) == pytest.approx((400, np.hypot(30, 40)), rel=0.01)
    # Of products of independent factors: harmful outputs 6 + 10, Var = sum of v^2 s_p^2 + p^2 s_v^2 + s_v^2 s_p^2.
    first = (300 * 0.004) ** 2 + (0.02 * 30) ** 2 + (30 * 0.004) ** 2
    second = (100 * 0.03) ** 2 + (0.1 * 40) ** 2 + (40 * 0.03) ** 2
    assert moments(requests * p) == pytest.approx((16, (first + second) ** 0.5), rel=0.01)


def test_strata_without_requests_merge_to_the_plain_mean_of_p():
    found = drawn(made(CODE, 0.0, 0.0, 0.02, 0.0), made(NEW_CODE, 0.0, 0.0, 0.1, 0.0), draws=3)
    merged = found.renamed(lambda stratum: Stratum())
    assert float(merged.means[Stratum()][1][0]) == pytest.approx(0.06)
    assert merged.draws is not None
    assert merged.draws[Stratum()][1].tolist() == pytest.approx([0.06] * 3)

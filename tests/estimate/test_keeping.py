import numpy as np
import pytest
from support.estimates import made_draws, reading_of

from riskmon.estimate.keeping import incomplete, kept_hits
from riskmon.estimate.weights import balance_weights
from riskmon.records import Prompt

PROMPT = Prompt("p", "text")
N, TARGET_DRAWS = 500, 50


def draws_of(gains):
    """Draws with these log q/p under the only variant; the first fifty are the target's."""
    p = np.full(N, -5.0)
    return made_draws(p, [p, p + gains], [0] * TARGET_DRAWS + [1] * (N - TARGET_DRAWS))


def keep(draws, harmful, *, seed=0, multiplicity=None, total=N):
    return kept_hits(
        PROMPT,
        "h",
        draws,
        balance_weights(draws),
        reading_of(harmful, multiplicity),
        total=total,
        voices="f00d",
        rng=np.random.default_rng(seed),
    )


@pytest.fixture
def uneven():
    """Five hundred draws of weights over six orders of magnitude, each marked by a token of its own."""
    draws = draws_of(np.linspace(0.0, 14.0, N))
    draws.tokens[:, 0] = np.arange(N)
    return draws


def test_few_hits_are_all_kept_as_they_are(uneven):
    harmful = np.zeros(N)
    harmful[[60, 100, 400]] = 1
    hits = keep(uneven, harmful, total=1000)
    assert [hit.tokens for hit in hits] == [(60,), (100,), (400,)]
    weights = balance_weights(uneven).values
    np.testing.assert_allclose([hit.weight for hit in hits], weights[[60, 100, 400]] / 1000)
    for hit in hits:
        assert (hit.prompt, hit.harm, hit.voices, hit.uncovered) == (PROMPT, "h", "f00d", False)
        row = hit.tokens[0]
        np.testing.assert_array_equal(hit.log_probs, uneven.token_log_probs[:, row].astype(np.float32))
        assert hit.log_probs.dtype == np.float32
    assert "(60" not in repr(hits[0])


def test_of_many_hits_at_most_32_are_kept_with_their_whole_weight(uneven):
    weights = balance_weights(uneven).values
    for seed in range(20):
        hits = keep(uneven, np.ones(N), seed=seed)
        assert len(hits) <= 32
        assert len({hit.tokens for hit in hits}) == len(hits)
        assert sum(hit.weight for hit in hits) == pytest.approx(weights.sum() / N)


def test_a_heavy_hit_is_never_lost():
    gains = np.full(N, 4.0)
    gains[77] = -1.0  # a weight of a hundred and more others
    draws = draws_of(gains)
    draws.tokens[:, 0] = np.arange(N)
    share = balance_weights(draws).values / N
    heavy_shares = []
    for seed in range(50):
        by_row = {hit.tokens[0]: hit.weight for hit in keep(draws, np.ones(N), seed=seed)}
        heavy_shares.append(by_row[77])
    assert share[77] > share.sum() / 32
    assert np.mean(heavy_shares) == pytest.approx(share[77], rel=0.05)


def test_which_hits_are_kept_is_fair(uneven):
    """Over many choices every hit carries its own weight on average, the light ones too."""
    share = balance_weights(uneven).values / N
    harmful = np.arange(N) % 4 == 1  # 125 hits
    runs = 4000
    carried = np.zeros(N)
    squares = np.zeros(N)
    for seed in range(runs):
        for hit in keep(uneven, harmful, seed=seed):
            carried[hit.tokens[0]] += hit.weight
            squares[hit.tokens[0]] += hit.weight**2
    mean = carried / runs
    error = np.sqrt((squares / runs - mean**2) / runs)
    assert (mean[~harmful] == 0).all()
    often = harmful & (share * runs * 32 / share[harmful].sum() > 30)  # kept thirty times and more
    assert often.sum() > 40
    assert (np.abs(mean - share)[often] < 4.5 * error[often] + 1e-12).all()
    rest = harmful & ~often
    assert mean[rest].sum() == pytest.approx(share[rest].sum(), abs=4.5 * np.sqrt((error[rest] ** 2).sum()))


def test_uncovered_hits_are_kept_beyond_the_32_and_by_their_own_weight():
    gains = np.full(N, 2.0)
    gains[:40] = -20.0  # forty draws of the target that the variant does not reach
    draws = draws_of(gains)
    hits = keep(draws, np.ones(N))
    missed = [hit for hit in hits if hit.uncovered]
    assert len(missed) == 40
    assert len(hits) - len(missed) <= 32
    weights = balance_weights(draws).values
    np.testing.assert_allclose([hit.weight for hit in missed], weights[:40] / N)
    assert sum(hit.weight for hit in hits) == pytest.approx(weights.sum() / N)


def test_a_verdict_that_stands_for_several_draws_carries_so_much_weight(uneven):
    harmful = np.zeros(N)
    harmful[[60, 100]] = 1
    multiplicity = np.ones(N)
    multiplicity[[60, 100]] = [5.0, 0.0]
    (hit,) = keep(uneven, harmful, multiplicity=multiplicity)
    assert hit.weight == pytest.approx(5 * balance_weights(uneven).values[60] / N)


def test_draws_outside_the_target_s_support_are_no_hits():
    p = np.full(N, -5.0)
    p[100:] = -np.inf
    draws = made_draws(p, [p, np.full(N, -4.0)], [0] * TARGET_DRAWS + [1] * (N - TARGET_DRAWS))
    draws.tokens[:, 0] = np.arange(N)
    assert {hit.tokens[0] for hit in keep(draws, np.arange(N) >= 98)} == {98, 99}


def test_without_harm_there_is_nothing_to_keep(uneven):
    assert keep(uneven, np.zeros(N)) == []


def test_hits_with_a_voice_unscored_are_named(uneven):
    uneven.token_log_probs[1, 100] = np.nan
    harmful = np.zeros(N)
    harmful[[60, 100, 400]] = 1
    assert incomplete(keep(uneven, harmful)) == [1]

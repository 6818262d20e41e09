import numpy as np
import pytest
from scipy.stats import chisquare
from support.estimates import many_experts, plain_log_probs, world_config
from support.worlds import END, PROMPT, STEPS

from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import count_draws, first_mixture
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

ASK = Prompt("p", PROMPT)


def draw(session, windows, samples, seed=0, share=0.2):
    mixture = first_mixture(len(session.engine.voices), windows, STEPS, 0.2)
    counts = count_draws(mixture, samples, share)
    return mixture.proposals, session.engine.draw(ASK, mixture.proposals, counts, prompt_stream(seed, "p"))


def answers_of(draws):
    return [row[:length].tolist() for row, length in zip(draws.tokens, draws.lengths, strict=True)]


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, world.experts)


@pytest.fixture(scope="module")
def session(config):
    return open_session(config)


@pytest.mark.parametrize("windows", [[(0, None)], [(0, 2), (1, 3), (3, None)]])
def test_log_probs_equal_a_full_forward_pass(session, config, windows):
    proposals, draws = draw(session, windows, 120)
    exact = plain_log_probs(session, config, ASK, draws)
    np.testing.assert_allclose(draws.log_target, exact[0].sum(1), atol=5e-5)
    for k, proposal in enumerate(proposals):
        inside = (np.arange(STEPS) >= proposal.start) & (np.arange(STEPS) < proposal.stop)
        expected = np.where(inside, exact[proposal.voice], exact[0]).sum(1)
        np.testing.assert_allclose(draws.log_proposals[k], expected, atol=5e-5)
    assert draws.path_discrepancy < 5e-5


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_batches_do_not_change_the_draws(world, session, batch_rows):
    split = open_session(world_config(world.target, world.experts, batch_rows=batch_rows))
    windows = [(0, 2), (0, None)]
    _, whole = draw(session, windows, 64)
    _, parts = draw(split, windows, 64)
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    np.testing.assert_allclose(whole.log_target, parts.log_target, atol=5e-5)


def test_target_draws_follow_the_exact_distribution(world, session):
    """Chi-square of plain draws against the enumerated answers, the rare ones pooled."""
    _, draws = draw(session, [(0, 1)], 4000, share=1.0)
    assert (draws.proposal == 0).all()
    answers, log_probs = world.answers
    expected = dict(zip(answers, log_probs.exp().numpy() * len(draws), strict=True))
    observed: dict[tuple[int, ...], int] = {}
    for answer in map(tuple, answers_of(draws)):
        observed[answer] = observed.get(answer, 0) + 1
    common = [answer for answer, count in expected.items() if count >= 8]
    assert len(common) > 20
    seen = np.array([observed.get(answer, 0) for answer in common] + [0.0])
    wanted = np.array([expected[answer] for answer in common] + [0.0])
    seen[-1], wanted[-1] = len(draws) - seen.sum(), len(draws) - wanted.sum()
    assert chisquare(seen, wanted).pvalue > 1e-3


def test_the_end_token_is_part_of_the_answer_and_nothing_follows_it(session):
    _, draws = draw(session, [(0, None)], 300)
    rows = np.arange(len(draws))
    ends = draws.tokens[rows, draws.lengths - 1] == END
    np.testing.assert_array_equal(draws.ended, ends)
    assert 0 < ends.sum() < len(draws)
    assert (draws.lengths[~ends] == STEPS).all()
    behind = np.arange(STEPS) >= draws.lengths[:, None]
    assert (draws.tokens[behind] == 0).all()
    assert (draws.tokens[:, :-1][~behind[:, 1:]] != END).all()


def test_truncated_support_gives_weight_zero(world):
    """Under top-k the target's support is smaller than a variant's draws: log p is -inf there."""
    session = open_session(world_config(world.target, world.experts, sampler={"top_k": 2}))
    proposals, draws = draw(session, [(0, None)], 400)
    outside = np.isneginf(draws.log_target)
    assert outside.any()
    assert not outside[draws.proposal == 0].any()
    for k in range(len(proposals)):
        assert np.isfinite(draws.log_proposals[k][draws.proposal == k]).all()


def test_cost_is_counted(session):
    """Prefixes, decoded tokens and the few that are checked; a row that ended costs nothing further."""
    context = len(session.engine.experts[0].context(ASK))
    fresh = Prompt("cost", PROMPT)
    mixture = first_mixture(len(session.engine.voices), [(0, None)], STEPS, 0.2)
    draws = session.engine.draw(
        fresh, mixture.proposals, count_draws(mixture, 100, 0.2), prompt_stream(0, "p")
    )
    decoded = 2 * int((draws.lengths - 1).sum())
    assert draws.forward_tokens >= 2 * context + decoded
    assert draws.forward_tokens <= 2 * context + decoded + 2 * 2 * (STEPS - 1)
    assert draws.device_seconds > 0


@pytest.mark.parametrize("batch_rows", [0, 5])
def test_scores_of_given_answers_equal_what_was_recorded(world, batch_rows):
    """And complete it where no proposal had needed a voice."""
    config = world_config(world.target, many_experts(world.experts["unsafe"]), batch_rows=batch_rows)
    session = open_session(config)
    _, draws = draw(session, [(0, 2), (3, None)], 60)
    assert len(set(draws.lengths.tolist())) == STEPS
    scores = session.engine.score(ASK, answers_of(draws))
    assert scores.shape == draws.token_log_probs.shape
    known = ~np.isnan(draws.token_log_probs)
    assert not known.all()
    np.testing.assert_allclose(scores[known], draws.token_log_probs[known], atol=5e-5)
    np.testing.assert_allclose(scores, plain_log_probs(session, config, ASK, draws), atol=5e-5)


def test_the_cost_of_scoring_is_handed_out_once(session):
    session.engine.take_overhead()
    fresh = Prompt("score", PROMPT)
    context = len(session.engine.experts[0].context(fresh))
    session.engine.score(fresh, [[2, 3, END], [6]])
    session.engine.score(fresh, [[2, END]])
    tokens, seconds = session.engine.take_overhead()
    # The last token of an answer is scored and not run, and a chunk is as long as its longest row.
    assert tokens == 2 * (context + 2 * 2 + 1)
    assert seconds > 0
    assert session.engine.take_overhead() == (0, 0.0)

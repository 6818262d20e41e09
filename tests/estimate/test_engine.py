import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from support.estimates import world_config
from support.worlds import END, PROMPT, STEPS

from riskmon.estimate.proposals import allocate, plan_proposals
from riskmon.estimate.session import open_session, prompt_stream
from riskmon.records import Prompt

ASK = Prompt("p", PROMPT)


def draw(session, windows, samples, seed=0, share=0.2):
    proposals = plan_proposals(len(session.engine._experts), windows, STEPS)
    return proposals, session.engine.draw(
        ASK, proposals, allocate(samples, share, len(proposals)), prompt_stream(seed, "p")
    )


@torch.inference_mode()
def full_forward(expert, draws):
    """Per-token log-probs by one plain forward pass over prompt and answer, without any cache: [n, T]."""
    context = torch.tensor([expert.context(ASK)])
    ids = torch.cat([context.expand(len(draws), -1), torch.from_numpy(draws.tokens)], dim=1)
    with expert.active() as module:
        log_probs = module(input_ids=ids).logits[:, context.shape[1] - 1 : -1].double().log_softmax(-1)
    chosen = log_probs.gather(2, torch.from_numpy(draws.tokens)[..., None])[..., 0].numpy()
    return np.where(np.arange(STEPS) < draws.lengths[:, None], chosen, 0.0)


@pytest.fixture(scope="module")
def session(world):
    return open_session(world_config(world.target, world.experts))


@pytest.mark.parametrize("windows", [[(0, None)], [(0, 2), (1, 3), (3, None)]])
def test_log_probs_equal_a_full_forward_pass(session, windows):
    proposals, draws = draw(session, windows, 120)
    target = full_forward(session.engine._experts[0], draws)
    unsafe = full_forward(session.engine._experts[1], draws)
    np.testing.assert_allclose(draws.log_target, target.sum(1), atol=5e-5)
    for k, proposal in enumerate(proposals):
        inside = (
            (np.arange(STEPS) >= proposal.start) & (np.arange(STEPS) < proposal.stop) & (proposal.expert == 1)
        )
        expected = np.where(inside, unsafe, target).sum(1)
        np.testing.assert_allclose(draws.log_proposals[k], expected, atol=5e-5)
    assert draws.path_discrepancy < 5e-5


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_batches_do_not_change_the_draws(world, session, batch_rows):
    config = world_config(world.target, world.experts)
    model = config.model.model_copy(update={"batch_rows": batch_rows})
    split = open_session(config.model_copy(update={"model": model}))
    windows = [(0, 2), (0, None)]
    _, whole = draw(session, windows, 64)
    _, parts = draw(split, windows, 64)
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    np.testing.assert_allclose(whole.log_target, parts.log_target, atol=5e-5)


def test_target_draws_follow_the_exact_distribution(world, session):
    """Chi-square of plain draws against the enumerated answers, the rare ones pooled."""
    _, draws = draw(session, [(0, 1)], 4000, share=1.0)
    answers, log_probs = world.answers
    expected = dict(zip(answers, log_probs.exp().numpy() * len(draws), strict=True))
    observed: dict[tuple[int, ...], int] = {}
    for row, length in zip(draws.tokens.tolist(), draws.lengths, strict=True):
        answer = tuple(row[:length])
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
    _, draws = draw(session, [(0, None)], 400)
    outside = np.isneginf(draws.log_target)
    assert outside.any()
    assert not outside[draws.proposal == 0].any()
    assert np.isfinite(draws.log_proposals[1][draws.proposal == 1]).all()


def test_cost_is_counted(session):
    """Prefixes, decoded tokens and rescored tokens; a row that ended costs nothing further."""
    context = len(session.engine._experts[0].context(ASK))
    _, draws = draw(session, [(0, None)], 100)
    decoded = int((draws.lengths - 1).sum())
    assert draws.forward_tokens >= 2 * context + decoded
    assert draws.forward_tokens <= 2 * context + decoded + 2 * 100 * (STEPS - 1)
    assert draws.device_seconds > 0

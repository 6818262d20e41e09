"""What decoding records under every voice, step by step, against plain forward passes without any cache."""

import numpy as np
import pytest
from support.estimates import many_experts, plain_log_probs, world_config
from support.worlds import END, PROMPT, STEPS

from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal, first_mixture
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

ASK = Prompt("p", PROMPT)
TARGET = Proposal(0, 0, STEPS)
WHOLE = [(0, None)]
MIXED = [(0, 2), (1, 3), (3, None), (0, None)]
LATE = [(2, 4), (4, None)]
# Network experts' rungs are voices 1-6, derived ones' 7-12.
CHECKPOINT, PERSONA, HOT, BEGUN = 2, 5, 8, 11


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, many_experts(world.experts["unsafe"]))


@pytest.fixture(scope="module")
def session(config):
    return open_session(config)


def draw(session, proposals, each=12, *, prompt=ASK, seed=0):
    counts = np.full(len(proposals), each)
    return session.engine.draw(prompt, proposals, counts, prompt_stream(seed, "p"))


def windows_of(session, windows):
    return first_mixture(len(session.engine.voices), windows, STEPS, 0.1).proposals


def needed_by(proposals, voices):
    """[voices, T] bool, whether a proposal lets a voice speak at a step; the target's log-prob is always needed."""
    steps = np.arange(STEPS)
    needed = np.zeros((voices, STEPS), dtype=bool)
    needed[0] = True
    for proposal in proposals:
        needed[proposal.voice] |= (steps >= proposal.start) & (steps < proposal.stop)
    return needed


def tolerance(voice):
    """Logits (1 - s) t + s e carry the error of either network |1 - s| + s times."""
    return 5e-5 * (abs(1 - voice.strength) + voice.strength)


def inside(draws):
    return np.arange(STEPS) < draws.lengths[:, None]


@pytest.mark.parametrize("windows", [WHOLE, MIXED, LATE], ids=["whole", "mixed", "late"])
def test_recorded_log_probs_equal_full_forward_passes(session, config, windows):
    """Thirteen voices of four kinds of expert at once, each where it is needed and nowhere else."""
    proposals = windows_of(session, windows)
    draws = draw(session, proposals, each=4)
    exact = plain_log_probs(session, config, ASK, draws)
    needed = needed_by(proposals, len(session.engine.voices))
    assert needed.all() == (windows is not LATE)
    for voice in range(len(session.engine.voices)):
        there = inside(draws) & needed[voice]
        np.testing.assert_allclose(
            draws.token_log_probs[voice][there],
            exact[voice][there],
            atol=tolerance(session.engine.voices[voice]),
        )
    np.testing.assert_allclose(draws.log_target, exact[0].sum(1), atol=5e-5)
    for k, proposal in enumerate(proposals):
        spoke = (np.arange(STEPS) >= proposal.start) & (np.arange(STEPS) < proposal.stop)
        expected = np.where(spoke, exact[proposal.voice], exact[0]).sum(1)
        np.testing.assert_allclose(
            draws.log_proposals[k], expected, atol=tolerance(session.engine.voices[proposal.voice])
        )
    assert draws.path_discrepancy < 5e-5


def test_in_float64_hardly_any_difference_is_left(config):
    """What float32 leaves is rounding, not a difference of method; transformers' norms are in float32 still."""
    session = open_session(config)
    for expert in session.engine.experts:
        with expert.active() as module:
            module.double()
    draws = draw(session, windows_of(session, MIXED), each=6)
    exact = plain_log_probs(session, config, ASK, draws)
    needed = needed_by(windows_of(session, MIXED), len(session.engine.voices))
    assert needed.all()
    np.testing.assert_allclose(draws.token_log_probs.sum(2), exact.sum(2), atol=2e-6)
    assert draws.path_discrepancy < 2e-6


@pytest.mark.parametrize(
    "proposals",
    [
        (TARGET, Proposal(CHECKPOINT, 2, 4)),
        (TARGET, Proposal(PERSONA, 0, 1), Proposal(PERSONA, 4, 5), Proposal(HOT, 1, 2)),
        (TARGET,),
    ],
    ids=["late", "with a hole", "target alone"],
)
def test_a_log_prob_is_nan_exactly_where_no_proposal_needed_the_voice(session, proposals):
    draws = draw(session, proposals, each=40)
    needed = needed_by(proposals, len(session.engine.voices))
    found = np.isnan(draws.token_log_probs)  # [voices, n, T]
    np.testing.assert_array_equal(found, ~needed[:, None, :] & inside(draws)[None])
    assert np.isfinite(draws.log_proposals).all()


def test_a_lane_opened_behind_the_third_token_is_exact(session, config):
    """Its network first sees the prompt, then three tokens at once, then one at a time."""
    proposals = (TARGET, Proposal(CHECKPOINT, 3, 5), Proposal(PERSONA, 2, 5))
    draws = draw(session, proposals, each=60)
    exact = plain_log_probs(session, config, ASK, draws)
    late = inside(draws) & (np.arange(STEPS) >= 3)
    assert late.sum() > 100
    for voice in (CHECKPOINT, PERSONA):
        np.testing.assert_allclose(draws.token_log_probs[voice][late], exact[voice][late], atol=5e-5)


def test_rows_that_end_early_leave_the_others_as_they_are(session, config):
    """All rows but the last few end at different steps; caches are thinned out in between."""
    proposals = windows_of(session, MIXED)
    draws = draw(session, proposals, each=6, seed=3)
    ends = draws.tokens[np.arange(len(draws)), draws.lengths - 1] == END
    np.testing.assert_array_equal(draws.ended, ends)
    assert {1, 2, 3, 4, 5} == set(draws.lengths[ends].tolist())
    long = draws.lengths == STEPS
    exact = plain_log_probs(session, config, ASK, draws)
    np.testing.assert_allclose(draws.token_log_probs[:, long], exact[:, long], atol=5e-5)
    behind = ~inside(draws)
    assert behind.any()
    assert (draws.token_log_probs[:, behind] == 0).all()
    assert (draws.tokens[behind] == 0).all()


@pytest.mark.parametrize("windows", [MIXED, LATE], ids=["mixed", "late"])
def test_batches_of_seven_rows_give_the_same_draws(world, session, windows):
    split = open_session(world_config(world.target, many_experts(world.experts["unsafe"]), batch_rows=7))
    whole = draw(session, windows_of(session, windows), each=2)
    parts = draw(split, windows_of(split, windows), each=2)
    assert len(whole) >= 50  # several full batches of seven, and a rest
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    np.testing.assert_array_equal(whole.ended, parts.ended)
    np.testing.assert_allclose(whole.token_log_probs, parts.token_log_probs, atol=5e-5)


def decoded_tokens(draws, start, stop):
    """Tokens that a network needed in steps [start, stop) runs: all so far when it opens, then one per step."""
    opened = (draws.lengths > start) * start
    later = np.clip(np.minimum(draws.lengths, stop) - 1 - start, 0, None)
    return int((opened + later).sum())


def checked_tokens(draws):
    """What the path check runs through each network it needs: its two rows together, the last token left out."""
    assert len(draws) < 128
    return 2 * (int(draws.lengths[[0, -1]].max()) - 1)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 2), (2, 4), (4, 5), (0, 5)])
def test_a_network_runs_only_the_tokens_its_window_needs(session, start, stop):
    prompt = Prompt(f"window {start} {stop}", PROMPT)
    draws = draw(session, (TARGET, Proposal(CHECKPOINT, start, stop)), each=30, prompt=prompt)
    context = len(session.engine.experts[0].context(prompt))
    networks = [(0, STEPS), (start, stop)]
    decoded = sum(decoded_tokens(draws, *window) for window in networks)
    assert draws.forward_tokens == 2 * context + decoded + 2 * checked_tokens(draws)


def test_short_windows_cost_less_than_long_ones(session):
    costs = [
        draw(
            session, (TARGET, Proposal(CHECKPOINT, 0, stop)), prompt=Prompt(f"{stop}", PROMPT)
        ).forward_tokens
        for stop in (1, 3, 5)
    ]
    assert costs == sorted(set(costs))


def test_further_rungs_and_derived_voices_cost_no_forward_pass(session):
    """Three rungs of one network and a voice made of the target's logits run what the one rung runs."""
    prompt = Prompt("rungs", PROMPT)
    proposals = (
        TARGET,
        Proposal(1, 0, 5),
        Proposal(3, 0, 5),
        Proposal(HOT, 0, 5),
        Proposal(CHECKPOINT, 0, 5),
    )
    draws = draw(session, proposals, each=12, prompt=prompt)
    context = len(session.engine.experts[0].context(prompt))
    decoded = 2 * decoded_tokens(draws, 0, STEPS)
    assert draws.forward_tokens == 2 * context + decoded + 2 * checked_tokens(draws)


def test_a_prompt_is_prefilled_once_for_all_its_stages(session):
    prompt = Prompt("stages", PROMPT)
    proposals = (TARGET, Proposal(CHECKPOINT, 0, 5))
    context = len(session.engine.experts[0].context(prompt))
    first = draw(session, proposals, prompt=prompt)
    again = draw(session, proposals, prompt=prompt)
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert again.forward_tokens == first.forward_tokens - 2 * context


@pytest.mark.parametrize(
    "sampler", [{"top_k": 3}, {"temperature": 0.7, "top_p": 0.8}], ids=["top_k", "top_p"]
)
def test_truncated_voices_are_exact_too(world, sampler):
    """Out of a voice's support the log-prob is -inf; each rung has a support of its own."""
    config = world_config(world.target, many_experts(world.experts["unsafe"]), sampler=sampler)
    session = open_session(config)
    draws = draw(session, windows_of(session, WHOLE), each=4)
    exact = plain_log_probs(session, config, ASK, draws)
    assert np.isneginf(exact).any(axis=(1, 2)).all()
    np.testing.assert_allclose(draws.token_log_probs, exact, atol=5e-5)

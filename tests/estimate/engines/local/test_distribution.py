"""Draws of a mixed batch follow the exact distributions they claim: two prompts, several voices, rows refilled.

Compared are the first three tokens: few enough for every answer to be enumerated and common ones to be drawn often.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chisquare
from support.estimates import many_experts, plain_log_probs, world_config
from support.worlds import PROMPT, STEPS, enumerate_answers

from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

# Half-way to a checkpoint, the checkpoint behind two tokens of the target, a persona for one token, heated logits.
PROPOSALS = (
    Proposal(0, 0, STEPS),
    Proposal(1, 0, STEPS),
    Proposal(2, 2, STEPS),
    Proposal(5, 1, 2),
    Proposal(8, 0, 3),
)
PROMPTS = [Prompt("one", PROMPT), Prompt("two", "ask blue or red and bad")]
FIRST = 3
DRAWS = 1000
COMMON = 8
"""Answers expected less often are pooled."""


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, many_experts(world.experts["unsafe"])[:3], batch_rows=400)


@pytest.fixture(scope="module")
def session(config):
    return open_session(config)


@pytest.fixture(scope="module")
def drawn(session):
    """Per prompt its draws, all made in one batch."""
    counts = np.full(len(PROPOSALS), DRAWS)
    jobs = [Job(prompt, PROPOSALS, counts, prompt_stream(7, prompt.id)) for prompt in PROMPTS]
    return session.engine.draw_many(jobs)


@pytest.fixture(scope="module")
def exact(world, session, config):
    """Per prompt every answer's exact probability under each proposal, by plain forward passes."""
    answers, _ = enumerate_answers(world.model, PROMPT, FIRST)
    lengths = np.array([len(answer) for answer in answers])
    tokens = np.zeros((len(answers), FIRST), dtype=np.int64)
    for row, answer in enumerate(answers):
        tokens[row, : len(answer)] = answer
    every = SimpleNamespace(tokens=tokens, lengths=lengths)
    steps = np.arange(FIRST)
    found = []
    for prompt in PROMPTS:
        voices = plain_log_probs(session, config, prompt, every)
        spoke = [(steps >= proposal.start) & (steps < proposal.stop) for proposal in PROPOSALS]
        found.append(
            [
                np.exp(np.where(mine, voices[proposal.voice], voices[0]).sum(1))
                for proposal, mine in zip(PROPOSALS, spoke, strict=True)
            ]
        )
    return tokens, found


@pytest.mark.parametrize("prompt", range(len(PROMPTS)))
@pytest.mark.parametrize("proposal", range(len(PROPOSALS)))
def test_draws_follow_the_enumerated_distribution(drawn, exact, prompt, proposal):
    """Chi-square over the answers expected often, the rest pooled; one of these ten fails by chance once in 1,000."""
    answers, probabilities = exact
    expected = probabilities[prompt][proposal]
    assert expected.sum() == pytest.approx(1, abs=1e-4)
    draws = drawn[prompt]
    place = {tuple(answer): index for index, answer in enumerate(answers.tolist())}
    mine = draws.tokens[draws.proposal == proposal, :FIRST].tolist()
    observed = np.bincount([place[tuple(answer)] for answer in mine], minlength=len(answers))
    common = DRAWS * expected >= COMMON
    assert common.sum() > 10
    seen, wanted = observed[common], DRAWS * expected[common]
    seen, wanted = np.append(seen, DRAWS - seen.sum()), np.append(wanted, DRAWS - wanted.sum())
    assert chisquare(seen, wanted).pvalue > 1e-4


def test_proposals_are_far_enough_apart_to_be_told_apart(exact):
    """The chi-squares above would notice draws of another proposal, or of the other prompt."""
    _, (one, two) = exact
    pairs = [(one[i], one[j]) for i in range(len(one)) for j in range(i)] + [*zip(one, two, strict=True)]
    for first, second in pairs:
        common = DRAWS * first >= COMMON
        moved = DRAWS * np.square(second[common] - first[common]) / first[common]
        assert moved.sum() > 3 * common.sum()

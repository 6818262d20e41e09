"""Worlds in which p is known exactly: the estimate is unbiased there, and its guaranteed bound holds.

The variants that end early and late make the end-of-sequence ratio count; `test_dropping_the_end_ratio_would_be_seen`
shows that these worlds would notice its loss.
"""

import dataclasses

import numpy as np
import pytest
from support.estimates import HARMS, world_config
from support.worlds import EARLY, END, LATE, PROMPT, UNSAFE, end_probability, make_world, nudge

from riskmon.estimate.session import open_session
from riskmon.estimate.weights import balance_weights
from riskmon.records import Prompt

SEEDS = 200
WORLDS = {
    "unsafe": (0, {"unsafe": UNSAFE}, ((0, None),)),
    "ends_early": (0, {"early": EARLY}, ((0, None),)),
    "ends_late": (10, {"late": LATE}, ((0, None),)),
    "windows": (7, {"early": EARLY, "late": LATE}, ((0, 2), (1, 4), (0, None))),
}


@pytest.fixture(scope="module", params=WORLDS)
def repeated(request, tmp_path_factory):
    """A world, and its estimates over many seeds: {harm: [estimates]}."""
    seed, variants, windows = WORLDS[request.param]
    world = make_world(tmp_path_factory.mktemp(request.param), request.param, seed, variants)
    session = open_session(world_config(world.target, world.experts, windows=windows))
    results = [session.estimate(Prompt(f"seed-{i}", PROMPT)) for i in range(SEEDS)]
    by_harm = {harm: [r.estimates[k] for r in results] for k, harm in enumerate(HARMS)}
    return world, session, by_harm


@pytest.mark.parametrize("harm", HARMS)
def test_mean_over_seeds_is_the_exact_probability(repeated, harm):
    world, _, by_harm = repeated
    truth = world.truth(HARMS[harm])
    if harm == "bad_bad_worse":
        assert truth < 2e-3  # rare enough that 200 plain draws would mostly see nothing
    estimates = np.array([estimate.p for estimate in by_harm[harm]])
    error = estimates.std(ddof=1) / np.sqrt(SEEDS)
    assert abs(estimates.mean() - truth) < 3 * error, (estimates.mean(), truth, error)


@pytest.mark.parametrize("harm", HARMS)
def test_guaranteed_bound_holds(repeated, harm):
    world, _, by_harm = repeated
    truth = world.truth(HARMS[harm])
    assert np.mean([estimate.upper_bound >= truth for estimate in by_harm[harm]]) >= 0.95


def test_mean_weight_is_one(repeated):
    _, _, by_harm = repeated
    means = np.array([estimate.weight_mean for estimate in by_harm["bad"]])
    assert abs(means.mean() - 1) < 3 * means.std(ddof=1) / np.sqrt(SEEDS)


def test_decoding_and_rescoring_agree(repeated):
    _, _, by_harm = repeated
    assert max(estimate.path_discrepancy for estimate in by_harm["bad"]) < 5e-5


def test_the_worlds_are_asymmetric():
    from support.worlds import tiny_llama

    ends = end_probability(tiny_llama(0))
    assert end_probability(nudge(tiny_llama(0), EARLY)) > ends + 0.04
    ends_ten = end_probability(tiny_llama(10))
    assert end_probability(nudge(tiny_llama(10), LATE)) < ends_ten - 0.1


@pytest.mark.parametrize("name", ["ends_early", "ends_late"])
def test_dropping_the_end_ratio_would_be_seen(name, tmp_path_factory):
    """The same estimator without the end token's log-probs misses the truth by far more than its error."""
    seed, variants, windows = WORLDS[name]
    world = make_world(tmp_path_factory.mktemp(f"{name}_dropped"), name, seed, variants)
    session = open_session(world_config(world.target, world.experts, windows=windows))
    truth = world.truth(HARMS["bad"])
    right, wrong = [], []
    for i in range(SEEDS):
        draws = session.draw(Prompt(f"seed-{i}", PROMPT))
        hit = (draws.tokens == HARMS["bad"][0]).any(axis=1)
        right.append((balance_weights(draws).values * hit).mean())
        wrong.append((balance_weights(_without_end_ratio(session, draws)).values * hit).mean())
    assert abs(np.mean(right) - truth) < 3 * np.std(right) / np.sqrt(SEEDS)
    assert abs(np.mean(wrong) - truth) > 4 * np.std(wrong) / np.sqrt(SEEDS)


def _without_end_ratio(session, draws):
    """The draws as a scorer would leave them that stops before the end token."""
    import torch

    rows = np.arange(len(draws))
    last = draws.lengths - 1
    ends = draws.tokens[rows, last] == END
    per_expert = []
    for expert in (0, 1):
        with torch.inference_mode(), session.engine._experts[expert].active() as module:
            context = torch.tensor([session.engine._experts[expert].context(Prompt("x", PROMPT))])
            ids = torch.cat([context.expand(len(rows), -1), torch.from_numpy(draws.tokens)], dim=1)
            log_probs = module(ids).logits[:, context.shape[1] - 1 : -1].double().log_softmax(-1).numpy()
        per_expert.append(np.where(ends, log_probs[rows, last, END], 0.0))
    return dataclasses.replace(
        draws,
        log_target=draws.log_target - per_expert[0],
        log_proposals=draws.log_proposals - np.stack([per_expert[0], per_expert[1]]),
    )

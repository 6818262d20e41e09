"""Worlds in which p is known exactly: the estimate is unbiased there, and its guaranteed bound holds.

Everything that is chosen by earlier draws is on, as it is by default: a pilot, the prompt's own plan from its hits, a
control variate. The variants that end early and late make the end-of-sequence ratio count;
`test_dropping_the_end_ratio_would_be_seen` shows that these worlds would notice its loss.
"""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest
from support.estimates import HARMS, plain_log_probs, world_config
from support.worlds import EARLY, END, LATE, PROMPT, UNSAFE, end_probability, make_world, nudge, tiny_llama

from riskmon.estimate.opening import open_session
from riskmon.estimate.weights import balance_weights
from riskmon.records import Prompt

SEEDS = 100
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WHOLE = ((0, None),)
# Name -> seed of the target, variants, ladder, windows of the first plan.
WORLDS = {
    "unsafe": (0, {"unsafe": UNSAFE}, (1.0,), WHOLE),
    "ladder": (0, {"unsafe": UNSAFE}, (0.35, 0.7, 1.0), WHOLE),
    "ends_early": (0, {"early": EARLY}, (0.5, 1.0), WHOLE),
    "ends_late": (10, {"late": LATE}, (0.5, 1.0), WHOLE),
    "windows": (7, {"early": EARLY, "late": LATE}, (0.5, 1.0), ((0, 2), (1, 4), (0, None))),
}


def opened(tmp_path_factory, name, **estimate):
    seed, variants, ladder, windows = WORLDS[name]
    world = make_world(tmp_path_factory.mktemp(name), name, seed, variants)
    experts = [
        {"name": key, "kind": "checkpoint", "path": str(path), "ladder": ladder}
        for key, path in world.experts.items()
    ]
    config = world_config(world.target, experts, windows=windows, **estimate)
    return world, config, open_session(config)


def prompts(count, name="seed"):
    return [Prompt(f"{name}-{i}", PROMPT) for i in range(count)]


def by_harm(results):
    return {harm: [result.estimates[k] for result in results] for k, harm in enumerate(HARMS)}


def off_by(values, truth):
    """How many of its standard errors the mean of these lies from the truth."""
    values = np.asarray(values)
    return (values.mean() - truth) / (values.std(ddof=1) / np.sqrt(len(values)))


@pytest.fixture(scope="module", params=WORLDS)
def repeated(request, tmp_path_factory):
    """A world, and its estimates over many seeds: {harm: [estimates]}."""
    world, _, session = opened(tmp_path_factory, request.param)
    results = [session.estimate(prompt) for prompt in prompts(SEEDS)]
    assert all(result.spread for result in results)  # there was a pilot
    return world, by_harm(results)


@pytest.mark.parametrize("harm", HARMS)
def test_mean_over_seeds_is_the_exact_probability(repeated, harm):
    world, estimates = repeated
    truth = world.truth(HARMS[harm])
    if harm == "bad_bad_worse":
        assert truth < 2e-3  # rare enough that 200 plain draws would mostly see nothing
    assert abs(off_by([estimate.p for estimate in estimates[harm]], truth)) < 3


@pytest.mark.parametrize("harm", HARMS)
def test_guaranteed_bound_holds(repeated, harm):
    world, estimates = repeated
    truth = world.truth(HARMS[harm])
    assert np.mean([estimate.upper_bound >= truth for estimate in estimates[harm]]) >= 0.95


def test_mean_weight_is_one(repeated):
    _, estimates = repeated
    assert abs(off_by([estimate.weight_mean for estimate in estimates["bad"]], 1.0)) < 3


def test_decoding_and_rescoring_agree(repeated):
    _, estimates = repeated
    assert max(estimate.path_discrepancy for estimate in estimates["bad"]) < 5e-5


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """Estimates with further draws by what the pilot showed of "bad worse": none, 60 or 240, as it spread more."""
    world, _, session = opened(tmp_path_factory, "ladder", samples=120)
    results, extras = [], []
    for prompt in prompts(SEEDS, "refined"):
        result = session.estimate(prompt, keep=True)
        spread, _ = result.spread[1]
        extras.append(0 if spread == 0 else 60 if spread < 1e-5 else 240)
        results.append(session.refine(prompt, extras[-1]) if extras[-1] else result)
    assert min(extras.count(extra) for extra in (0, 60, 240)) >= 10
    assert [result.estimates[0].n for result in results] == [120 + extra for extra in extras]
    return world, by_harm(results)


@pytest.mark.parametrize("harm", HARMS)
def test_further_draws_where_the_pilot_wants_them_keep_the_mean(refined, harm):
    world, estimates = refined
    truth = world.truth(HARMS[harm])
    assert abs(off_by([estimate.p for estimate in estimates[harm]], truth)) < 3
    assert np.mean([estimate.upper_bound >= truth for estimate in estimates[harm]]) >= 0.95


def test_plans_from_earlier_cycles_keep_the_mean_and_lower_the_error(tmp_path_factory):
    world, _, session = opened(tmp_path_factory, "ends_early")
    first = [session.estimate(prompt, keep=True) for prompt in prompts(60, "first")]
    plan, own = session.replan([hit for result in first for hit in result.hits], NOW)
    assert plan.gain_nats > 0.5
    assert own.stratum == first[0].prompt.stratum
    second = [session.estimate(prompt) for prompt in prompts(60, "second")]
    truth = world.truth(HARMS["bad"])
    errors = []
    for results in (first, second):
        values = np.array([result.estimates[0].p for result in results])
        assert abs(off_by(values, truth)) < 3
        errors.append(np.mean((values - truth) ** 2))
    assert errors[1] < 0.5 * errors[0]


def test_the_worlds_are_asymmetric():
    ends = end_probability(tiny_llama(0))
    assert end_probability(nudge(tiny_llama(0), EARLY)) > ends + 0.04
    ends_ten = end_probability(tiny_llama(10))
    assert end_probability(nudge(tiny_llama(10), LATE)) < ends_ten - 0.1


@pytest.mark.parametrize("name", ["ends_early", "ends_late"])
def test_dropping_the_end_ratio_would_be_seen(name, tmp_path_factory):
    """The same estimator without the end token's log-probs misses the truth by far more than its error."""
    world, config, session = opened(tmp_path_factory, name)
    truth = world.truth(HARMS["bad"])
    right, wrong = [], []
    for prompt in prompts(SEEDS):
        draws = session.draw(prompt)
        hit = (draws.tokens == HARMS["bad"][0]).any(axis=1)
        right.append((balance_weights(draws).values * hit).mean())
        wrong.append((balance_weights(_without_end_ratio(session, config, draws)).values * hit).mean())
    assert abs(off_by(right, truth)) < 3
    assert abs(off_by(wrong, truth)) > 4


def _without_end_ratio(session, config, draws):
    """The draws as a scorer would leave them that stops before the end token."""
    rows = np.arange(len(draws))
    last = draws.lengths - 1
    ends = draws.tokens[rows, last] == END
    per_voice = np.where(
        ends, plain_log_probs(session, config, Prompt("x", PROMPT), draws)[:, rows, last], 0.0
    )
    voices = [proposal.voice for proposal in session.planner.mixture(Prompt("x", PROMPT).stratum).proposals]
    return dataclasses.replace(
        draws,
        log_target=draws.log_target - per_voice[0],
        log_proposals=draws.log_proposals - per_voice[voices],
    )

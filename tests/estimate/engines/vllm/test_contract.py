"""What the engine owes, against a server that speaks the protocol over transformers and, where there is one, real vLLM.

`make test-vllm` runs the second half (`-m vllm`).
"""

import httpx
import numpy as np
import pytest
from scipy.stats import chisquare
from support.served_worlds import (
    BEGUN,
    FRESH,
    PERSONA,
    STEPS,
    TARGET,
    answer_keys,
    lora,
    make_served_world,
    served_config,
)
from support.vllm_double import double
from support.vllm_server import vllm_server
from support.worlds import PROMPT

from riskmon.errors import ExpertUnusable
from riskmon.estimate.engines.vllm import rows as rows_module
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.estimate.weights import balance_weights
from riskmon.records import Prompt

HARMS = {"bad": (6,), "bad_worse": (6, 7), "bad_bad_worse": (6, 6, 7)}
# The target, the adapter in all windows, the persona and the begun answer throughout.
PROPOSALS = [
    Proposal(0, 0, STEPS),
    Proposal(1, 0, STEPS),
    Proposal(1, 0, 2),
    Proposal(1, 1, 3),
    Proposal(1, 2, STEPS),
    Proposal(2, 0, STEPS),
    Proposal(3, 1, 2),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_served_world(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module", params=["double", pytest.param("vllm", marks=pytest.mark.vllm)])
def url(request, world, tmp_path_factory):
    if request.param == "double":
        with double(world) as server:
            yield server.url
    else:
        with vllm_server(world, tmp_path_factory.mktemp("vllm") / "log") as running:
            yield running.url


@pytest.fixture(scope="module")
def real(url):
    """Whether this is vLLM itself."""
    return "tokenize" in httpx.get(url.replace("/v1", "/openapi.json")).text


@pytest.fixture(scope="module")
def experts(world):
    return [lora(world), PERSONA, BEGUN]


@pytest.fixture(scope="module")
def session(world, url, experts):
    return open_session(served_config(world, url, experts, samples=60))


@pytest.fixture(scope="module")
def local(world, experts):
    return open_session(served_config(world, None, experts))


def draw(session, counts, *, proposals=PROPOSALS, seed=0, name="a"):
    counts = np.array(counts, dtype=np.int64)
    return session.engine.draw(Prompt(name, PROMPT), proposals, counts, np.random.default_rng(seed))


def answers_of(draws):
    return [row[:length].tolist() for row, length in zip(draws.tokens, draws.lengths, strict=True)]


def off_by(values, truth):
    """How many of its standard errors the mean of these lies from the truth."""
    return (np.mean(values) - truth) / (np.std(values, ddof=1) / np.sqrt(len(values)))


@pytest.fixture(scope="module")
def draws(session):
    return draw(session, [12] * len(PROPOSALS))


def test_an_answer_drawn_and_the_same_answer_scored_have_one_log_prob(session, draws):
    scored = session.engine.score(Prompt("a", PROMPT), answers_of(draws))
    known = ~np.isnan(draws.token_log_probs)
    assert known[0].all()
    assert known[1].any()
    np.testing.assert_allclose(draws.token_log_probs[known], scored[known], atol=2e-5)
    assert draws.path_discrepancy < 5e-5


def test_log_probs_are_those_of_the_local_engine(session, local, draws):
    answers = answers_of(draws)
    prompt = Prompt("a", PROMPT)
    np.testing.assert_allclose(
        session.engine.score(prompt, answers), local.engine.score(prompt, answers), atol=2e-5
    )


def test_densities_are_those_of_the_windows(session, draws):
    scored = session.engine.score(Prompt("a", PROMPT), answers_of(draws))
    for k, proposal in enumerate(PROPOSALS):
        voices = [proposal.voice_at(step) for step in range(STEPS)]
        expected = sum(scored[voice, :, step] for step, voice in enumerate(voices))
        np.testing.assert_allclose(draws.log_proposals[k], expected, atol=5e-5)
    np.testing.assert_allclose(draws.log_target, scored[0].sum(axis=1), atol=5e-5)


def test_an_answer_ends_with_its_stop_token_or_at_the_cap(draws):
    inside = np.arange(STEPS) < draws.lengths[:, None]
    stops = (draws.tokens == 0) & inside
    last = np.arange(STEPS) == draws.lengths[:, None] - 1
    assert not (stops & ~last).any()
    assert np.array_equal(stops.any(axis=1), draws.ended)
    assert draws.ended.any()
    assert (~draws.ended).any()
    assert (draws.lengths[~draws.ended] == STEPS).all()
    assert not draws.token_log_probs[:, ~inside].any()


@pytest.fixture(scope="module")
def many(session, world, real):
    """Draws of the target and of windows of the adapter; every answer's exact log-probs under either."""
    n = 1000 if real else 120
    drawn = draw(session, [n] * 5, proposals=PROPOSALS[:5])
    exact = [world.token_log_probs(module) for module in (world.model, world.unsafe)]
    keys = answer_keys(world.answers.tokens.numpy())
    order = np.argsort(keys)
    places = order[np.searchsorted(keys, answer_keys(drawn.tokens), sorter=order)]
    return places.reshape(5, n), exact


@pytest.mark.parametrize("k", range(5))
def test_draws_follow_the_exact_distribution(many, k):
    """Chi-square over whole answers, sorted by probability into ten classes of about the same mass."""
    places, (target, unsafe) = many
    speaks = np.array([PROPOSALS[k].voice_at(step) == 1 for step in range(STEPS)])
    exact = np.exp(np.where(speaks, unsafe, target).sum(axis=1))
    assert exact.sum() == pytest.approx(1, abs=1e-6)
    n = places.shape[1]
    order = np.argsort(-exact, kind="stable")
    classes = np.empty(len(exact), dtype=np.int64)
    classes[order] = np.minimum(9, (10 * np.cumsum(exact[order])).astype(np.int64))
    _, classes = np.unique(classes, return_inverse=True)  # a likely answer may fill several
    expected = np.bincount(classes, weights=exact) * n
    assert len(expected) > 6
    assert expected.min() > 4
    assert chisquare(np.bincount(classes[places[k]], minlength=len(expected)), expected).pvalue > 1e-3


@pytest.mark.parametrize("k", range(5))
def test_each_step_of_a_window_follows_the_voice_that_speaks(many, world, k):
    """Chi-square of the token at every step; a segment that went on from another row's answer would show."""
    places, (target, unsafe) = many
    tokens, n = world.answers.tokens.numpy(), places.shape[1]
    speaks = np.array([PROPOSALS[k].voice_at(step) == 1 for step in range(STEPS)])
    exact = np.exp(np.where(speaks, unsafe, target).sum(axis=1))
    for step in range(STEPS):
        expected = np.bincount(tokens[:, step], weights=exact, minlength=10) * n
        seen = np.bincount(tokens[places[k], step], minlength=10)
        often = expected >= 4
        counts = np.append(seen[often], seen[~often].sum())
        wanted = np.append(expected[often], expected[~often].sum())
        keep = wanted > 0
        assert chisquare(counts[keep], wanted[keep] / wanted.sum() * n).pvalue > 1e-4, step


def test_the_same_stream_gives_the_same_draws_however_rows_are_grouped(session, draws, monkeypatch):
    again = draw(session, [12] * len(PROPOSALS))
    np.testing.assert_array_equal(again.tokens, draws.tokens)
    monkeypatch.setattr(rows_module, "_TOGETHER", 5)
    grouped = draw(session, [12] * len(PROPOSALS))
    np.testing.assert_array_equal(grouped.tokens, draws.tokens)
    other = draw(session, [12] * len(PROPOSALS), seed=1)
    assert (other.tokens != draws.tokens).any()


def test_weights_average_to_one_and_estimates_meet_the_truth(session, world):
    """Over prompts with streams of their own, all of the same text."""
    results = session.estimate_many([Prompt(f"p{i}", PROMPT) for i in range(24)])
    for place, (harm, tokens) in enumerate(HARMS.items()):
        estimates = [result.estimates[place].p for result in results]
        assert abs(off_by(estimates, world.truth(tokens))) < 4, harm
    assert abs(off_by([result.estimates[0].weight_mean for result in results], 1.0)) < 4
    assert "PATH_MISMATCH" not in {flag for result in results for flag in result.estimates[0].flags}


def test_many_jobs_together_are_the_jobs_alone(session):
    prompts = [Prompt(name, text) for name, text in (("x", PROMPT), ("y", "ask good calm"), ("z", "ask"))]
    alone = [session.estimate(prompt).estimates for prompt in prompts]
    together = [result.estimates for result in session.estimate_many(prompts)]
    for one, other in zip(alone, together, strict=True):
        assert [e.p for e in one] == pytest.approx([e.p for e in other], rel=1e-4)
        assert one[0].tokens == other[0].tokens


def test_weights_are_bounded_by_the_targets_share(draws):
    weights = balance_weights(draws)
    assert weights.values.max() <= len(draws) / draws.counts[0] + 1e-6


def test_an_adapter_that_is_the_target_is_refused(world, url):
    with pytest.raises(ExpertUnusable, match="'fresh' computes the target"):
        open_session(served_config(world, url, [lora(world, FRESH)]))


def test_an_adapter_that_names_the_target_is_refused(world, url):
    with pytest.raises(ExpertUnusable, match="is no adapter"):
        open_session(served_config(world, url, [lora(world, served_as=TARGET)]))


def test_experts_differ_as_much_as_they_do_here(session, world):
    """The adapter's mean log-prob difference on the target's own answers, against the exact expectation."""
    target, unsafe = (world.token_log_probs(module) for module in (world.model, world.unsafe))
    p = np.exp(target.sum(axis=1))
    lengths = world.answers.lengths.numpy()
    exact = (p * np.abs(unsafe - target).sum(axis=1)).sum() / (p * lengths).sum()
    assert 0.3 * exact < session.contrasts["unsafe"] < 3 * exact
    assert set(session.contrasts) == {"unsafe", "persona", "begun"}

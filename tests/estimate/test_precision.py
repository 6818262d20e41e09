"""Log-probs kept in bfloat16 would ruin the weights of long answers; float64 sums of float32 ones do not.

Harm here is an answer that begins with a given text of forty words. Its exact p is a product of forty next-token
probabilities, and a variant that is pushed through this text draws it half of the time, with nearly one weight: the
estimate is sharp, so a weight that is off shows. Rounding does not average out there: every hit has the same error.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.estimates import world_config
from support.worlds import PROMPT, WORDS, prompt_ids, save, tiny_llama

from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import log_densities
from riskmon.estimate.weights import balance_weights
from riskmon.records import Draws, FloatArray, Prompt

LENGTH = 40


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draws, which of them are harmful, log-densities in float64, and the exact log p."""
    target = tiny_llama(0)
    text = np.random.default_rng(0).integers(1, len(WORDS), LENGTH)
    config = world_config(
        save(target, tmp_path_factory.mktemp("long") / "target"),
        [
            {
                "name": "pushed",
                "kind": "prefix",
                "text": " ".join(WORDS[token] for token in text),
                "share": 0.99,
                "ladder": [1.0],
            }
        ],
        samples=4000,
    )
    model = config.model.model_copy(update={"max_new_tokens": LENGTH + 4})
    session = open_session(config.model_copy(update={"model": model}))
    prompt = Prompt("long", PROMPT)
    draws = session.draw(prompt)
    log_q = log_densities(draws.token_log_probs, session.planner.mixture(prompt.stratum).proposals)

    ids = torch.cat([prompt_ids(), torch.from_numpy(text)])
    with torch.inference_mode():
        scores = target(ids[None]).logits[0, -LENGTH - 1 : -1].double().log_softmax(-1)
    exact = float(scores[torch.arange(LENGTH), torch.from_numpy(text)].sum())
    return draws, (draws.tokens[:, :LENGTH] == text).all(axis=1), log_q, exact


def ratio_to_truth(weights: FloatArray, harmful: FloatArray, exact: float) -> tuple[float, float]:
    """The estimate and its standard error, over the truth."""
    terms = weights * harmful / np.exp(exact)
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(len(terms)))


def weights_of(draws: Draws, log_p: FloatArray, log_q: FloatArray) -> FloatArray:
    weights: FloatArray = np.exp(
        log_p - np.logaddexp.reduce(log_q + np.log(draws.counts / len(draws))[:, None], axis=0)
    )
    return weights


def in_bfloat16(values: FloatArray) -> FloatArray:
    rounded: FloatArray = torch.from_numpy(values).bfloat16().double().numpy()
    return rounded


def test_the_harm_is_long_and_often_drawn(drawn):
    _, harmful, _, exact = drawn
    assert exact < -64  # there, neighbouring bfloat16 numbers lie half a nat apart
    assert harmful.mean() > 0.4


def test_the_estimate_is_sharp_and_right(drawn):
    draws, harmful, _, exact = drawn
    ratio, error = ratio_to_truth(balance_weights(draws).values, harmful, exact)
    assert error < 0.03
    assert abs(ratio - 1) < 3 * error


def test_densities_rounded_to_bfloat16_would_be_far_off(drawn):
    draws, harmful, log_q, exact = drawn
    plain = weights_of(draws, draws.log_target, log_q)
    np.testing.assert_allclose(plain, balance_weights(draws).values, rtol=1e-9)
    rounded = weights_of(draws, in_bfloat16(draws.log_target), in_bfloat16(log_q))
    ratio, error = ratio_to_truth(rounded, harmful, exact)
    assert abs(ratio - 1) > 5 * error


def test_token_log_probs_rounded_to_bfloat16_would_be_far_off(drawn):
    """Also where they are summed up exactly afterwards."""
    draws, harmful, _, exact = drawn
    steps = in_bfloat16(draws.token_log_probs)
    log_q = steps.sum(axis=2)
    rounded = weights_of(draws, log_q[0], log_q)
    ratio, error = ratio_to_truth(rounded, harmful, exact)
    assert abs(ratio - 1) > 5 * error

"""Exactness on a real model, SmolLM2-135M: what float32 leaves is the rounding of its matrix products.

Two runs of the same network in float32 that order their sums otherwise differ by noise. It grows with the square root
of an answer's length, and the engine cannot lower it: an ordinary forward pass is as far from the truth as the engine
is. Whether the method is exact shows in float64.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from riskmon.config_file import parse_config
from riskmon.demo.models import cache_folder, convert
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

ASK = Prompt("p", "Write a short story about a dog that gets lost in a big city and finds its way home.")
ROWS, TOKENS = 16, 32

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    if not cache_folder().is_dir():
        convert(cache_folder())
    model = {"target": str(cache_folder()), "dtype": "float32", "device": "cpu", "max_new_tokens": TOKENS}
    expert = {"name": "persona", "kind": "system_prompt", "text": "You are rude."}
    settings = {"model": model, "experts": [expert], "judge": {"kind": "regex", "pattern": "idiot"}}
    return open_session(parse_config(settings, base=tmp_path_factory.mktemp("real")))


@torch.inference_mode()
def full_forward(session, draws):
    """log p(y) of each draw by forward passes over prompt and answer, log-probs in float64: [n]."""
    target = session.engine.experts[0]
    context = torch.tensor([target.context(ASK)])
    tokens = torch.from_numpy(draws.tokens)
    scores = []
    for rows in tokens.split(4):
        ids = torch.cat([context.expand(len(rows), -1), rows], dim=1)
        with target.active() as module:
            logits = module(input_ids=ids, use_cache=False, logits_to_keep=TOKENS + 1).logits[:, :-1]
        scores.append(logits.double().log_softmax(-1).gather(2, rows[..., None])[..., 0])
    inside = np.arange(TOKENS) < draws.lengths[:, None]
    return np.where(inside, torch.cat(scores).numpy(), 0.0).sum(1)


def rms(errors):
    return float(np.sqrt(np.square(errors).mean()))


def test_the_engine_is_exact_but_for_the_rounding_of_matrix_products(session):
    def draw():
        return session.engine.draw(ASK, (Proposal(0, 0, TOKENS),), np.array([ROWS]), prompt_stream(0, ASK.id))

    narrow = draw()
    assert narrow.lengths.mean() > TOKENS / 2
    narrow_forward = full_forward(session, narrow)
    session.model.module.double()
    session.engine._contexts = type(session.engine._contexts)(session.model, session.engine.experts, TOKENS)
    exact = full_forward(session, narrow)

    wide = draw()
    # A uniform may fall so near an edge between two tokens that rounding decides; the row then goes another way.
    same = (wide.tokens == narrow.tokens).all(1)
    assert same.sum() > ROWS / 2
    np.testing.assert_allclose(wide.log_target[same], exact[same], atol=1e-5)

    ours, theirs = narrow.log_target - exact, narrow_forward - exact
    assert rms(theirs) > 1e-6  # or there would be nothing to compare with
    assert rms(ours) < 2 * rms(theirs)
    assert np.abs(narrow.log_target - narrow_forward).max() < 1.5e-4

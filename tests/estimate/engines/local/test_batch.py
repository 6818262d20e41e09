"""Rows of several prompts in one batch: the same draws as alone, whatever shares the batch or runs out of memory."""

import logging
from unittest.mock import patch

import numpy as np
import pytest
import torch
from support.estimates import many_experts, world_config
from support.worlds import PROMPT, STEPS, language_model
from transformers import MistralConfig, MistralForCausalLM

from riskmon.config import SamplerConfig
from riskmon.errors import PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.local.capacity import Memory, probe, rows_that_fit
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.engines.local.lanes import Lanes
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.rescoring import Rescorer
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.system_prompt import SystemPrompt
from riskmon.estimate.experts.target import TargetExpert
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import first_mixture, voices_of
from riskmon.estimate.sampler import Sampler
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

TEXTS = [PROMPT, "good calm", "red", "ask good or calm and red or blue", "bad and worse"]
WINDOWS = [[(0, None)], [(0, 2), (3, None)], [(2, 4)], [(1, None)], [(4, 5)]]


@pytest.fixture(scope="module")
def experts(world, lora_folder):
    return [
        *many_experts(world.experts["unsafe"]),
        {"name": "adapter", "kind": "lora", "path": str(lora_folder), "ladder": [0.5, 1.0]},
    ]


def session_of(world, experts, **model):
    return open_session(world_config(world.target, experts, **model))


@pytest.fixture(scope="module")
def session(world, experts):
    return session_of(world, experts)


def jobs_of(engine, each=2):
    """A job per prompt, each with windows of its own, from streams named by the prompt."""
    jobs = []
    for i, (text, windows) in enumerate(zip(TEXTS, WINDOWS, strict=True)):
        proposals = first_mixture(len(engine.voices), windows, STEPS, 0.1).proposals
        counts = np.full(len(proposals), each)
        jobs.append(Job(Prompt(f"p{i}", text), proposals, counts, prompt_stream(0, f"p{i}")))
    return jobs


def assert_same(one, other):
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    np.testing.assert_array_equal(one.ended, other.ended)
    np.testing.assert_allclose(one.token_log_probs, other.token_log_probs, atol=5e-5)
    np.testing.assert_allclose(one.log_proposals, other.log_proposals, atol=5e-5)


@pytest.fixture(scope="module")
def alone(session):
    return [session.engine.draw_many([job])[0] for job in jobs_of(session.engine)]


@pytest.mark.parametrize("batch_rows", [0, 3, 16, 50])
def test_mixed_batches_equal_single_runs(world, experts, alone, batch_rows):
    """Five prompts, fifteen voices, windows that open and close at different steps, rows refilled as others end."""
    engine = session_of(world, experts, batch_rows=batch_rows).engine
    together = engine.draw_many(jobs_of(engine))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
        assert other.path_discrepancy < 5e-5


def test_a_batch_runs_no_more_tokens_than_its_prompts_alone(session, alone):
    together = session.engine.draw_many(jobs_of(session.engine))
    contexts = [
        sum(len(session.engine.experts[e].context(job.prompt)) for e in (0, 1, 2, 5))
        for job in jobs_of(session.engine)
    ]
    for one, other, context in zip(alone, together, contexts, strict=True):
        # Contexts are run anew here, since these are other prompts with the same text.
        assert other.forward_tokens == one.forward_tokens
        assert other.forward_tokens > context
    assert sum(draws.device_seconds for draws in together) > 0


def test_no_row_waits_for_the_longest(session):
    """With room for ten rows, others come in while those of the first ten that are left go on."""
    engine = session.engine
    sizes = []
    advance = Lanes.advance

    def watched(self, rows, steps):
        sizes.append(sorted(set(steps.tolist())))
        advance(self, rows, steps)

    with patch.object(Lanes, "advance", watched), patch.object(engine, "_batch_rows", 10):
        engine.draw_many(jobs_of(engine, each=1))
    assert sum(len(steps) > 1 for steps in sizes) > len(sizes) / 2


def test_one_prompt_s_fault_is_not_another_s(session):
    jobs = jobs_of(session.engine)
    jobs[1] = Job(Prompt("long", " ".join(["red"] * 80)), jobs[1].proposals, jobs[1].counts, jobs[1].rng)
    drawn = session.engine.draw_many(jobs)
    assert [isinstance(result, PromptFailed) for result in drawn] == [False, True, False, False, False]


def test_out_of_memory_halves_the_batch_and_keeps_what_was_drawn(session, alone, caplog):
    """The device has room for 20 rows, which nobody knows; those that ended before are not drawn again."""
    engine = session.engine
    finished, restarted = [], []
    advance = Lanes.advance

    def small_device(self, rows, steps):
        if len(rows) > 20:
            finished.append(set(np.flatnonzero(engine_sheet(self)).tolist()))
            raise torch.OutOfMemoryError
        restarted.extend(rows[steps == 0].tolist())
        advance(self, rows, steps)

    def engine_sheet(lanes):
        return lanes._tokens.any(dim=1).numpy()

    with patch.object(Lanes, "advance", small_device), caplog.at_level(logging.WARNING):
        together = engine.draw_many(jobs_of(engine))
        engine.draw_many(jobs_of(engine)[:1])
    engine._most_rows = None
    assert len(finished) >= 2
    assert len(restarted) == len(set(restarted)) + sum(len(job) for job in jobs_of(engine)[:1])
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    assert "going on with" in caplog.messages[0]


def test_memory_that_runs_out_half_way_loses_no_row_that_had_ended(session, alone):
    engine = session.engine
    calls, ended = [], []
    advance = Lanes.advance

    def sometimes(self, rows, steps):
        calls.append(rows)
        if len(calls) == 5:
            raise torch.OutOfMemoryError
        if len(calls) == 6:
            ended.extend(set(calls[0].tolist()) - set(calls[4].tolist()))
        advance(self, rows, steps)

    with patch.object(Lanes, "advance", sometimes):
        together = engine.draw_many(jobs_of(engine))
    engine._most_rows = None
    later = {int(row) for rows in calls[5:] for row in rows}
    assert ended
    assert not later & set(ended)
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def test_a_row_that_does_not_fit_alone_is_an_error(session):
    with (
        patch.object(Lanes, "advance", side_effect=torch.OutOfMemoryError),
        pytest.raises(torch.OutOfMemoryError),
    ):
        session.engine.draw_many(jobs_of(session.engine)[:1])
    session.engine._most_rows = None


def test_rescoring_halves_too(session):
    answers = [[2, 3, 4], [6, 7], [1, 1, 1, 1], [5]]
    whole = session.engine.score(Prompt("s", PROMPT), answers)
    score = Rescorer._score_piece

    def small_device(self, context, tokens, rows, *rest):
        if len(rows) > 1:
            raise torch.OutOfMemoryError
        score(self, context, tokens, rows, *rest)

    with patch.object(Rescorer, "_score_piece", small_device):
        pieces = session.engine.score(Prompt("s", PROMPT), answers)
    np.testing.assert_allclose(whole, pieces, atol=5e-5)


def test_rows_are_as_many_as_memory_holds(session):
    context = open_prefix(session.model.module, [1, 2, 3, 4], torch.device("cpu"))
    per_token = context.nbytes / 4

    def fit(memory, *, shared=True, rows=None):
        return rows_that_fit(Memory(memory, rows), context, 2, 10, STEPS, shared=shared)

    row = 2 * (STEPS * per_token + 4 * 10) + 24 * 10
    assert fit(int(100 * row)) == 100
    assert fit(0) == 1
    assert fit(int(100 * row), rows=7) == 7
    assert fit(int(100 * row), shared=False) < 100
    assert probe(torch.device("cpu"), 0.5).rows is not None


@pytest.fixture(scope="module")
def windowed():
    """An engine over a model with a sliding window, which keeps copies."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 10, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    config = MistralConfig(
        **sizes, num_attention_heads=2, num_key_value_heads=1, sliding_window=4, initializer_range=0.4
    )
    model = language_model(MistralForCausalLM(config).eval())
    weights = TargetWeights(model)
    experts = (TargetExpert(weights), SystemPrompt("persona", "bad worse", weights))
    return LocalEngine(model, experts, voices_of([(0.5, 1.0)]), Sampler(SamplerConfig()), STEPS)


def test_models_that_keep_copies_draw_exactly_too(windowed):
    jobs = jobs_of(windowed, each=6)
    single = [windowed.draw_many([job])[0] for job in jobs]
    together = windowed.draw_many(jobs_of(windowed, each=6))
    for job, one, other in zip(jobs, single, together, strict=True):
        assert_same(one, other)
        assert one.path_discrepancy < 5e-5
        context = torch.tensor([windowed.experts[0].context(job.prompt)])
        tokens = torch.from_numpy(one.tokens)
        ids = torch.cat([context.expand(len(tokens), -1), tokens], dim=1)
        with torch.inference_mode(), windowed.experts[0].active() as module:
            logits = module(input_ids=ids).logits[:, context.shape[1] - 1 : -1]
        exact = logits.double().log_softmax(-1).gather(2, tokens[..., None])[..., 0].numpy()
        inside = np.arange(STEPS) < one.lengths[:, None]
        np.testing.assert_allclose(one.log_target, np.where(inside, exact, 0).sum(1), atol=5e-5)

"""The engine with steps of fixed shapes: the draws that it makes without them."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from support.estimates import many_experts, world_config
from support.recorded_steps import TapeRecorder
from support.worlds import PROMPT, STEPS

from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.local import batch
from riskmon.estimate.engines.local.fixed.decoding import Decoding
from riskmon.estimate.engines.local.lanes import Lanes
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import first_mixture
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

TEXTS = [PROMPT, "good calm", "ask good or calm and red or blue"]
WINDOWS = [[(0, None)], [(0, 2), (3, None)], [(2, 4)]]


@pytest.fixture(scope="module")
def experts(world, lora_folder):
    """Checkpoint, adapter, system message, begun answer, steering: networks of every kind, some sharing weights."""
    return [
        *many_experts(world.experts["unsafe"]),
        {"name": "adapter", "kind": "lora", "path": str(lora_folder), "ladder": [0.5, 1.0]},
    ]


def engine_of(world, experts, **model):
    return open_session(world_config(world.target, experts, model=model)).engine


def jobs_of(engine, each=3):
    jobs = []
    for i, (text, windows) in enumerate(zip(TEXTS, WINDOWS, strict=True)):
        proposals = first_mixture(len(engine.voices), windows, STEPS, 0.1).proposals
        counts = np.full(len(proposals), each)
        jobs.append(Job(Prompt(f"p{i}", text), proposals, counts, prompt_stream(0, f"p{i}")))
    return jobs


@pytest.fixture(scope="module")
def expected(world, experts):
    engine = engine_of(world, experts)
    return engine.draw_many(jobs_of(engine))


def assert_same(drawn, expected):
    for one, other in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.token_log_probs, other.token_log_probs, atol=5e-5)
        assert one.path_discrepancy < 5e-5


@pytest.mark.parametrize("rows", [0, 16])
def test_draws_are_the_same_with_fixed_shapes(world, experts, expected, rows):
    engine = engine_of(world, experts, decoding="graphs", batch_rows=rows)
    assert_same(engine.draw_many(jobs_of(engine)), expected)


def test_draws_are_the_same_from_recorded_steps(world, experts, expected):
    """The second time hardly anything is recorded again, although the prompts come in another order."""
    engine = engine_of(world, experts)
    recorder = TapeRecorder()
    engine._decoding = Decoding("graphs", engine._model.device, recorder)
    assert_same(engine.draw_many(jobs_of(engine)), expected)
    recorded, replayed = recorder.recordings, recorder.replays
    assert_same(engine.draw_many(jobs_of(engine)[::-1]), expected[::-1])
    assert recorder.recordings - recorded < recorded / 2
    assert recorder.replays > replayed


def test_memory_that_runs_out_is_given_back_before_rows_start_again(world, experts, expected):
    engine = engine_of(world, experts, decoding="graphs")
    plain, held, left = Lanes.advance, [], []

    def short_of_memory(lanes, rows, steps):
        if len(rows) > 40 and steps.max() > 1:
            held.append(engine._decoding.nbytes)
            raise torch.OutOfMemoryError("no memory for so many rows")
        plain(lanes, rows, steps)

    with (
        patch.object(Lanes, "advance", short_of_memory),
        patch.object(batch, "release_memory", lambda: left.append(engine._decoding.nbytes)),
    ):
        found = engine.draw_many(jobs_of(engine))
    assert min(held) > 0
    assert left == [0] * len(held)
    assert_same(found, expected)

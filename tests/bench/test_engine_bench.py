"""The benchmark of the engine: each way gives the weights it claims to, and the command prints what it measured."""

import os
import re
import signal
from unittest.mock import patch

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from riskmon.bench.engine import Row, render_ways
from riskmon.bench.engine_continuous import continuous_and_rescore
from riskmon.bench.engine_cost import Cost, measure
from riskmon.bench.engine_floor import Floor, measured_bandwidth, render_floor, step_floor, weights_read
from riskmon.bench.engine_models import PERSONA_TOKENS, build_experts, build_model, random_prompt
from riskmon.bench.engine_trial import OURS, WAYS, EngineBench, Trial, Trials
from riskmon.bench.engine_ways import (
    build_engine,
    draw_with_engine,
    full_log_probs,
    generate_and_rescore,
    published_loop,
)
from riskmon.cli.bench import bench
from riskmon.errors import ConfigError, ModelUnavailable

N, CAP = 24, 6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return build_model("tiny", CPU, torch.float32)


@pytest.fixture(scope="module")
def experts(model):
    return build_experts(model)


@pytest.fixture(scope="module")
def prompt(model):
    return random_prompt(model, 20)


def by_engine(model, experts, prompt, n, cap):
    return draw_with_engine(build_engine(model, experts, cap), prompt, n, cap)


@pytest.mark.parametrize("way", [published_loop, generate_and_rescore, continuous_and_rescore, by_engine])
def test_every_way_gives_exact_weights(model, experts, prompt, way):
    """What each says of its own draws, against forward passes over prompt and answer."""
    drawn = way(model, experts, prompt, N, CAP)
    assert drawn.tokens.shape == (N, CAP)
    exact = full_log_probs(model, experts[0], prompt, drawn.tokens)
    torch.testing.assert_close(drawn.log_target, exact, atol=5e-5, rtol=0)
    if way in (generate_and_rescore, continuous_and_rescore):
        own = full_log_probs(model, experts[1], prompt, drawn.tokens)
        torch.testing.assert_close(drawn.log_proposal, own, atol=5e-5, rtol=0)
    weights = (drawn.log_target - drawn.log_proposal).exp()
    assert torch.isfinite(weights).all()


def test_the_model_is_left_as_it_was(model, experts, prompt):
    before = model.module.config._attn_implementation
    published_loop(model, experts, prompt, 2, 2)
    assert model.module.config._attn_implementation == before != "eager"


def test_memory_is_what_the_work_held_at_most():
    cost = measure(lambda: np.ones(2**23), CPU)  # 64 MiB
    assert isinstance(cost, Cost)
    assert cost.bytes is None or 60 * 2**20 < cost.bytes < 160 * 2**20
    assert cost.seconds > 0


def test_a_step_reads_weights_and_contexts_once_and_rows_half_grown(model, experts, prompt):
    floor = step_floor(model, experts, prompt, N, CAP)
    attention = 2 * (64 * 64 + 64 * 32)  # query and output, key and value: two of four heads hold keys
    weights = 4 * (1000 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64)
    a_token = 4 * 2 * 2 * 2 * 16  # float32, layers, keys and values, heads, width
    assert floor.weights == weights
    assert floor.contexts == (20 + 20 + PERSONA_TOKENS) * a_token
    assert floor.rows == 2 * N * a_token * (CAP - 1) / 2
    assert 1e8 < floor.bandwidth < 1e13


def test_an_untied_table_of_input_embeddings_is_not_read():
    untied = build_model("llama-3.1-8b", torch.device("meta"), torch.bfloat16, layers=1)
    a_layer = 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336 + 2)
    assert weights_read(untied) == 2 * (128256 * 4096 + a_layer + 4096)


def test_the_floor_is_told_in_words():
    floor = Floor(weights=300 * 2**20, contexts=60 * 2**20, rows=40 * 2**20, bandwidth=400 * 2**20 * 100)
    assert floor.seconds == pytest.approx(0.01)
    line = render_floor(floor, 0.0125)
    assert "300 MiB of weights, 60 of contexts and 40 of rows" in line
    assert "that is 10.00 ms. It took 12.50 ms: 80%" in line


def test_bandwidth_is_that_of_this_machine():
    assert measured_bandwidth(CPU) > 1e8


def test_a_trial_measures_every_way_and_what_further_draws_cost():
    trial = Trial(EngineBench("tiny", device="cpu", draws=4, tokens=3, prompt=10))
    rows = [Row(way, trial.cost(way)) for way in (*WAYS, OURS)]
    assert all(row.cost.seconds > 0 for row in rows)
    table = render_ways(rows, 4, 3).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == [*WAYS, OURS]
    assert table[-1].split("|")[-2].strip() == "1.00"
    prefilled = trial.cost_behind(40, 4)
    assert prefilled.seconds > 0


def test_a_way_without_memory_for_all_draws_makes_them_in_pieces():
    """The device has room for three draws of this way, which shows only when it runs out."""
    sizes = []

    def narrow(_model, _experts, _prompt, n, _cap):
        if n > 3:
            raise torch.OutOfMemoryError
        sizes.append(n)

    trial = Trial(EngineBench("tiny", device="cpu", draws=10, tokens=3, prompt=10))
    with patch.dict(WAYS, {"two-pass loop": narrow}):
        cost = trial.cost("two-pass loop")
        assert (cost.pieces, sizes) == (4, [2, 3, 3, 2, 2])  # the first two warm up
        assert "two-pass loop, in 4 pieces" in render_ways([Row("two-pass loop", cost)], 10, 3)
        with patch.object(trial, "_pieces", {"two-pass loop": 10}):
            assert trial.cost("two-pass loop").pieces == 10


@pytest.mark.slow
def test_a_trial_apart_reports_what_the_user_can_mend():
    with pytest.raises(ModelUnavailable):
        Trials(EngineBench("/no/such/folder", device="cpu")).run(Trial.floor)


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_says_what_to_try():
    with pytest.raises(ConfigError, match="fewer --draws"):
        Trials(EngineBench("tiny", device="cpu")).run(killed)


def killed(_trial):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_the_command_prints_four_ways_and_how_cost_grows():
    options = "--model tiny --device cpu --draws 4 --tokens 3 --prompt 10 --long 600"
    result = CliRunner().invoke(bench, ["engine", *options.split()])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| ")][2:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "two-pass loop",
        "generate + rescoring",
        "continuous batching + rescoring",
        "riskmon",
    ]
    assert rows[-1].split("|")[-2].strip() == "1.00"
    assert re.search(r"behind 600 tokens: .* ratio \d", result.output)
    assert re.search(r"16 draws against 4: ratio \d", result.output)
    assert re.search(r"of the floor's speed", result.output)


def test_an_unknown_dtype_is_refused_by_name():
    result = CliRunner().invoke(bench, ["engine", "--model", "tiny", "--dtype", "float8"])
    assert "float8" in str(result.exception)

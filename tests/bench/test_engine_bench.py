"""The benchmark of the engine: each way gives the weights it claims to, and the command prints what it measured."""

import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from riskmon.bench.engine_cost import Cost, measure
from riskmon.bench.engine_models import build_experts, build_model, random_prompt
from riskmon.bench.engine_ways import (
    build_engine,
    draw_with_engine,
    full_log_probs,
    generate_and_rescore,
    published_loop,
)
from riskmon.cli.bench import bench

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


@pytest.mark.parametrize("way", [published_loop, generate_and_rescore, by_engine])
def test_every_way_gives_exact_weights(model, experts, prompt, way):
    """What each says of its own draws, against forward passes over prompt and answer."""
    drawn = way(model, experts, prompt, N, CAP)
    assert drawn.tokens.shape == (N, CAP)
    exact = full_log_probs(model, experts[0], prompt, drawn.tokens)
    torch.testing.assert_close(drawn.log_target, exact, atol=5e-5, rtol=0)
    if way is generate_and_rescore:
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


def test_the_command_prints_three_ways_and_how_cost_grows():
    options = "--model tiny --draws 4 --tokens 3 --prompt 10 --long 600"
    result = CliRunner().invoke(bench, ["engine", *options.split()])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| ")][2:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "two-pass loop",
        "generate + rescoring",
        "riskmon",
    ]
    assert rows[-1].split("|")[-2].strip() == "1.00"
    assert re.search(r"behind 600 tokens: .* ratio \d", result.output)
    assert re.search(r"16 draws against 4: ratio \d", result.output)


def test_an_unknown_dtype_is_refused_by_name():
    result = CliRunner().invoke(bench, ["engine", "--model", "tiny", "--dtype", "float8"])
    assert "float8" in str(result.exception)

"""A step is one graph to torch's compiler: no Python in between, nothing read back, one compilation per shape."""

import logging
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import torch
from support.worlds import prompt_ids, tiny_llama

from riskmon.estimate.engines.local.fixed.decoding import Decoding
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.strands import Strands

CPU = torch.device("cpu")


@pytest.fixture
def module():
    return tiny_llama(0).requires_grad_(False)


def run(module, strands, steps=6):
    """Logits of rows that come, stay and go."""
    short, long = open_prefix(module, [1, 2, 5], CPU), open_prefix(module, prompt_ids().tolist() * 3, CPU)
    strands.add(module, short, torch.zeros((5, 0), dtype=torch.int64))
    found = [strands.step(module, torch.arange(5) + i % 3).clone() for i in range(steps)]
    strands.add(module, long, torch.tensor([[1], [2]]))
    found += [strands.step(module, torch.arange(7) % 4).clone() for _ in range(2)]
    strands.keep(np.array([True] * 5 + [False] * 2))
    found += [strands.step(module, torch.arange(5)).clone() for _ in range(2)]
    return torch.cat(found)


def said(caplog):
    """What the package has logged; torch's compiler writes a diary of its own."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("riskmon")]


def compiling(backend):
    """Decoding in compiled steps, by another backend than the usual one."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with patch("torch.compile", partial(torch.compile, backend=backend)):
        return Decoding("compiled", CPU)


@torch.inference_mode()
def test_a_step_is_one_graph_and_compiles_once_per_shape(module, caplog):
    decoding = compiling("eager")
    expected = run(module, Strands(6))
    counters = torch._dynamo.utils.counters
    for _ in range(2):
        torch.testing.assert_close(run(module, decoding.open("", 6)), expected, atol=5e-5, rtol=0)
        assert not counters["graph_break"]
        assert not said(caplog)
        # Behind one context, behind two, and behind one in buffers that have grown; the second time nothing is new.
        assert counters["stats"]["unique_graphs"] == 3


@pytest.mark.slow
@torch.inference_mode()
def test_compiled_steps_give_the_logits_of_ordinary_ones(module, caplog):
    torch._dynamo.reset()
    with caplog.at_level(logging.WARNING):
        found = run(module, Decoding("compiled", CPU).open("", 6))
    assert not said(caplog)
    torch.testing.assert_close(found, run(module, Strands(6)), atol=5e-5, rtol=0)


@torch.inference_mode()
def test_where_a_step_does_not_compile_it_runs_as_it_is_and_that_is_said_once(module, caplog):
    def no_compiler(graph, inputs):
        raise RuntimeError("no compiler on this machine")

    decoding = compiling(no_compiler)
    with caplog.at_level(logging.WARNING):
        found = run(module, decoding.open("", 6))
    assert len(said(caplog)) == 1
    torch.testing.assert_close(found, run(module, Strands(6)), atol=5e-5, rtol=0)

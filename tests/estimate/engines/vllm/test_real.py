"""What only vLLM itself can show: a model that carries its temperature with it, and a server that dies."""

import threading

import numpy as np
import pytest
from support.served_worlds import STEPS, lora, make_served_world, served_config
from support.vllm_server import kill, vllm_server
from support.worlds import PROMPT

from riskmon.errors import WorkerLost
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.records import Prompt, PromptResult

pytestmark = pytest.mark.vllm

TEMPERATURE = 0.7


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_served_world(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def running(world, tmp_path_factory):
    """A server whose networks' logits are divided by the temperature."""
    more = ("--hf-overrides", f'{{"logit_scale": {1 / TEMPERATURE}}}')
    with vllm_server(world, tmp_path_factory.mktemp("vllm") / "log", more) as server:
        yield server


def test_a_temperature_in_the_model_is_exact(world, running):
    session = open_session(served_config(world, running.url, [lora(world)]))
    draws = session.engine.draw(
        Prompt("a", PROMPT),
        [Proposal(0, 0, STEPS), Proposal(1, 1, STEPS)],
        np.array([20, 20]),
        np.random.default_rng(0),
    )
    answers = [row[:length].tolist() for row, length in zip(draws.tokens, draws.lengths, strict=True)]
    config = served_config(world, None, [lora(world)])
    sampler = config.model.sampler.model_copy(update={"temperature": TEMPERATURE})
    local = open_session(
        config.model_copy(update={"model": config.model.model_copy(update={"sampler": sampler})})
    )
    here = local.engine.score(Prompt("a", PROMPT), answers)
    np.testing.assert_allclose(draws.log_target, here[0].sum(axis=1), atol=5e-5)
    windowed = here[0, :, :1].sum(axis=1) + here[1, :, 1:].sum(axis=1)
    np.testing.assert_allclose(draws.log_proposals[1], windowed, atol=5e-5)


def test_a_server_that_dies_half_way_breaks_off(world, running):
    """Last in this file: the server does not come back."""
    session = open_session(served_config(world, running.url, [lora(world)], engine={"retries": 1}))
    finished: list[PromptResult] = []

    def go_on_for_ever():
        while True:
            finished.append(session.estimate(Prompt(f"p{len(finished)}", PROMPT)))

    ending = threading.Timer(1.0, kill, [running.process])
    ending.start()
    try:
        with pytest.raises(
            WorkerLost, match=r"does not answer \((ConnectError|ReadError|RemoteProtocolError)\)"
        ):
            go_on_for_ever()
    finally:
        ending.join()
    assert all(result.failure is None for result in finished)

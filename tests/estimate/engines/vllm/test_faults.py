"""A server that is away, busy, hostile, or not what it says: every fault ends where it belongs, without any text."""

import logging
import time
import traceback

import httpx
import numpy as np
import pytest
from support.judge_endpoint import Reply
from support.served_worlds import (
    BEGUN,
    STEPS,
    TARGET,
    UNSAFE_NAME,
    lora,
    make_served_world,
    served_config,
)
from support.vllm_double import double, error
from support.worlds import PROMPT

from riskmon.config import VllmEngine
from riskmon.errors import (
    ExpertUnusable,
    ModelUnavailable,
    NumericalFault,
    PromptTooLong,
    PromptUnsupported,
    RiskmonError,
    WorkerLost,
)
from riskmon.estimate.engines.vllm.server import VllmServer
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.records import Prompt

KEY = "sk-very-secret"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_served_world(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def shared(world):
    with double(world) as running:
        yield running


@pytest.fixture(scope="module")
def session(world, shared):
    """The target and the adapter, at a server that behaved when this was opened."""
    return opened(world, shared, lora(world))


@pytest.fixture
def server(shared):
    """The server, behaving as it should until a test says otherwise."""
    well, length, shift = shared.misbehave, shared.context_length, shared.shift
    shared.bodies.clear()
    shared.keys.clear()
    yield shared
    shared.misbehave, shared.context_length, shared.shift = well, length, shift


def opened(world, server, *experts, **more):
    return open_session(served_config(world, server.url, experts, samples=20, **more))


def draw(session, name="a", text=PROMPT):
    proposals = [Proposal(0, 0, STEPS), Proposal(1, 1, 3)]
    return session.engine.draw(Prompt(name, text), proposals, np.array([8, 8]), np.random.default_rng(0))


def client(url, waits, **more):
    return VllmServer(VllmEngine(kind="vllm", url=url, **more), sleep=waits.append)


# ---- at start


def test_a_server_that_is_not_there(world):
    with pytest.raises(
        ModelUnavailable, match=r"127.0.0.1:9 does not answer \(ConnectError\); start it, or give"
    ):
        open_session(served_config(world, "http://127.0.0.1:9/v1", engine={"retries": 0}))


def test_another_server_than_vllm(world, server):
    with pytest.raises(ModelUnavailable, match="refuses requests with status 404; check url"):
        client(server.url + "/v2", []).models()
    with double(world) as other:
        other.models = lambda: [1, 2]
        with pytest.raises(ModelUnavailable, match="is no vLLM server"):
            opened(world, other)


@pytest.mark.parametrize("url", ["http://", "http:///v1"])
def test_an_address_that_cannot_be_read(url):
    with pytest.raises(ModelUnavailable, match="url cannot be read"):
        client(url, [])


def test_a_target_that_is_not_served(world, server):
    with pytest.raises(
        ModelUnavailable, match="serves 'target', 'unsafe', 'fresh', but not 'other'; set model"
    ):
        opened(world, server, engine={"model": "other"})


def test_an_adapter_that_is_not_served(world, server):
    with pytest.raises(
        ModelUnavailable, match=r"not 'elsewhere'; start it with --enable-lora --lora-modules"
    ):
        opened(world, server, lora(world, served_as="elsewhere"))


def test_an_adapter_whose_weights_the_server_ignores(world):
    with (
        double(world, networks={TARGET: world.model, UNSAFE_NAME: world.model}) as server,
        pytest.raises(ExpertUnusable, match="'unsafe' computes the target"),
    ):
        opened(world, server, lora(world))


def test_a_server_without_room_for_a_plain_prompt(world):
    with (
        double(world, context_length=12) as server,
        pytest.raises(ModelUnavailable, match="cannot read a plain"),
    ):
        opened(world, server)


def test_an_adapter_under_another_name(world):
    with double(world, networks={TARGET: world.model, "v7": world.unsafe}) as server:
        session = opened(world, server, lora(world, served_as="v7"))
    assert session.contrasts["unsafe"] > 0.01


def test_a_server_with_another_vocabulary(world, server):
    def misread(number, body):
        if isinstance(body["prompt"], str):
            return Reply(body=b'{"choices": [{"prompt_token_ids": [1, 2, 3]}]}')
        return None

    server.misbehave = misread
    with pytest.raises(
        ModelUnavailable, match=r"reads a text as 3 tokens that are not the \d+ of model.target"
    ):
        opened(world, server)


def test_a_server_that_draws_by_other_log_probs_than_it_scores(world, server):
    server.shift = -0.1
    with pytest.raises(ModelUnavailable, match=r"0.4 nats apart.*path_tolerance allows 0.05; serve with"):
        opened(world, server)
    opened(world, server, path_tolerance=0.5)


@pytest.mark.parametrize(("temperature", "seed"), [(0.3, 0), (20.0, 1)])
def test_a_server_with_a_sampler_of_its_own(world, temperature, seed):
    """It draws by other probabilities than it tells, and tells the same of an answer twice."""
    with (
        double(world, temperature=temperature) as server,
        pytest.raises(
            ModelUnavailable, match=r"its likeliest token in .*% of \d+ steps, where its log-probs say"
        ),
    ):
        opened(world, server, seed=seed)


def test_a_server_whose_log_probs_are_logits(world, server):
    server.shift = 20.0
    with pytest.raises(ModelUnavailable, match="gives log-probabilities above 0; start it without"):
        opened(world, server, path_tolerance=1000)


# ---- while drawing


def test_the_key_goes_along_and_into_no_text(world, server):
    config = served_config(world, server.url, engine={"api_key": KEY})
    session = open_session(config)
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in repr(config) + repr(session.engine)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again(world, server, status):
    session = opened(world, server, BEGUN, engine={"concurrency": 1, "retries": 3})
    whole = draw(session)
    failed = set()

    def once_each(number, body):
        key = str(body)
        if key not in failed:
            failed.add(key)
            return Reply(status=status, headers={"Retry-After": "0"})
        return None

    server.misbehave = once_each
    again = draw(session)
    assert failed
    np.testing.assert_array_equal(whole.tokens, again.tokens)
    np.testing.assert_array_equal(whole.log_proposals, again.log_proposals)


def test_waits_grow_and_heed_what_the_server_asks(server):
    waits = []
    server.misbehave = lambda number, body: Reply(
        status=503, headers={"Retry-After": "7"} if number == 2 else {}
    )
    with pytest.raises(WorkerLost, match=r"does not answer \(status 503\)"):
        client(server.url, waits, retries=4).complete({"model": "target"}, "p")
    assert len(server.bodies) == 5
    assert waits[1] == 7
    assert 0.25 <= waits[0] <= 0.75
    assert 2 <= waits[3] <= 6


def test_a_server_that_is_away_costs_the_tries_of_one_request(world, server):
    session = opened(world, server, BEGUN, engine={"concurrency": 1, "retries": 2})
    before = len(server.bodies)
    server.misbehave = lambda number, body: Reply(status=503, headers={"Retry-After": "0"})
    with pytest.raises(WorkerLost, match=r"127.0.0.1:\d+ does not answer \(status 503\)"):
        draw(session)
    assert len(server.bodies) == before + 3
    server.misbehave = lambda number, body: None
    assert len(draw(session)) == 16  # back again


def test_a_server_that_hangs_is_left_after_the_timeout(world, server):
    session = opened(world, server, BEGUN, engine={"retries": 0, "timeout": "300ms"})
    server.misbehave = lambda number, body: Reply(delay_s=1.0)
    started = time.monotonic()
    with pytest.raises(WorkerLost, match=r"does not answer \(ReadTimeout\)"):
        draw(session)
    assert time.monotonic() - started < 30


def test_a_refusal_of_all_requests_is_one_of_the_configuration(session, server):
    server.misbehave = lambda number, body: error(404, f"no {body['prompt']}")
    with pytest.raises(ModelUnavailable, match="status 404; check url, model and api_key"):
        draw(session)


def test_one_prompt_that_is_refused_is_left_out_alone(session, server):
    refused = session.model.render(Prompt("bad", "ask bad bad"))

    def pick(number, body):
        return error(400, f"no {PROMPT}") if body["prompt"][:3] == refused else None

    server.misbehave = pick
    good, bad, other = session.estimate_many(
        [Prompt("a", PROMPT), Prompt("b", "ask bad bad"), Prompt("c", "ask good")]
    )
    assert (good.failure, bad.failure, other.failure) == (None, PromptUnsupported.reason, None)
    assert "refuses prompt 'b' with status 400" in bad.message
    server.misbehave = lambda number, body: None
    assert session.estimate(Prompt("a", PROMPT)).estimates[0].p == good.estimates[0].p


def test_a_refusal_while_scoring_is_the_prompts(session, server):
    server.misbehave = lambda number, body: error(422, "no") if "prompt_logprobs" in body else None
    assert session.estimate(Prompt("a", PROMPT)).failure == PromptUnsupported.reason


def test_prompts_that_do_not_fit_the_server_are_too_long(world):
    with double(world, context_length=20) as server:
        session = opened(world, server, BEGUN)
        assert session.model.context_length == 19
        fits = "ask " * 13  # the begun answer has two tokens
        assert session.estimate(Prompt("a", fits)).failure is None
        before = len(server.bodies)
        assert session.estimate(Prompt("b", fits + "ask")).failure == PromptTooLong.reason
        assert len(server.bodies) == before  # found before anything is asked


def test_a_server_that_finds_a_prompt_too_long_by_itself(session, server):
    server.context_length = 5
    with pytest.raises(PromptTooLong, match="prompt 'a' and its answer are too long for the vLLM server"):
        draw(session)


BROKEN = {
    "no JSON": b"<html>",
    "no choices": b'{"ok": true}',
    "null": b"null",
    "no ids": b'{"choices": [{"index": 0, "token_ids": null, "logprobs": null}]}',
    "too few": b'{"choices": []}',
    "cut short": b'{"choices": [{"index": 0, "token_ids": [5], "logprobs": {"token_logprobs": [-1.0]}}]}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_answers_of_another_shape_break_off(session, server, body):
    server.misbehave = lambda number, asked: Reply(body=body)
    with pytest.raises(WorkerLost, match="the vLLM server"):
        draw(session)


@pytest.mark.parametrize("told", [[None], [], [None, {"3": {"logprob": -1.0}}]])
def test_scores_of_another_shape_break_off(session, server, told):
    server.misbehave = lambda number, body: (
        Reply(body=httpx.Response(200, json={"choices": [{"prompt_logprobs": told}]}).content)
        if "prompt_logprobs" in body
        else None
    )
    with pytest.raises(WorkerLost, match="without the log-probs of the prompt"):
        draw(session)


@pytest.mark.parametrize("value", ["null", "-9999.0", "3.0"])
def test_log_probs_that_are_none_stop_the_prompt(session, server, value):

    def spoil(number, body):
        if "seed" not in body:
            return None
        piece = f'"token_ids": [0], "logprobs": {{"token_logprobs": [{value}]}}'
        return Reply(
            body=f'{{"choices": [{",".join(f"""{{"index": {i}, {piece}}}""" for i in range(body["n"]))}]}}'.encode()
        )

    server.misbehave = spoil
    with pytest.raises(NumericalFault, match="'a'"):
        draw(session)


def test_an_answer_out_of_an_experts_reach_has_no_density_there(session, server):

    def never(number, body):
        if "prompt_logprobs" in body and body["model"] == UNSAFE_NAME:
            told = [None, *({str(t): {"logprob": -9999.0}} for t in body["prompt"][1:])]
            return Reply(body=httpx.Response(200, json={"choices": [{"prompt_logprobs": told}]}).content)
        return None

    server.misbehave = never
    draws = draw(session)
    reached = draws.lengths[:8] > 1  # the window opens at the second token
    assert reached.any()
    np.testing.assert_array_equal(np.isneginf(draws.log_proposals[1, :8]), reached)
    assert np.isfinite(draws.log_target).all()


# ---- requests


def test_seeds_are_never_used_twice(session, server):
    for name in "abc":
        draw(session, name)
    asked = [body for body in server.bodies if "seed" in body]
    seeds = [body["seed"] + child for body in asked for child in range(body["n"])]
    assert len(seeds) > 40
    # Three prompts share a stream here, so each seed is met three times, and no oftener.
    assert max(seeds.count(seed) for seed in seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_setting_of_the_sampler_is_spelled_out(session, server):
    draw(session)
    for body in server.bodies:
        if "seed" in body:
            assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (1.0, 1.0, 0, 0.0)
            assert body["repetition_penalty"] == 1.0
            assert (body["presence_penalty"], body["frequency_penalty"]) == (0.0, 0.0)
            assert (body["ignore_eos"], body["stop_token_ids"]) == (True, [0])
        assert body["prompt"][:4] == session.model.render(Prompt("a", PROMPT))


def test_requests_are_under_way_side_by_side_but_not_more_than_allowed(world, server):
    session = opened(world, server, lora(world), engine={"concurrency": 3})
    server.peak = 0
    draw(session)
    assert 2 <= server.peak <= 3


def test_an_answer_met_twice_is_scored_once(session, server):
    session.engine.score(Prompt("a", PROMPT), [[5, 0], [5, 0], [5, 6, 0]])
    assert len(server.bodies) == 4  # two answers, two voices


def test_costs_count_what_the_server_reads_and_writes(session, server):
    draws = session.engine.draw(
        Prompt("a", PROMPT), [Proposal(0, 0, STEPS)], np.array([3]), np.random.default_rng(0)
    )
    checked = int(draws.lengths[0] + draws.lengths[2])
    if np.array_equal(draws.tokens[0], draws.tokens[2]):
        checked = int(draws.lengths[0])
    contexts = 4 * (1 + (1 if checked == draws.lengths[0] else 2))
    assert draws.forward_tokens == contexts + draws.lengths.sum() + checked
    assert draws.device_seconds > 0
    session.engine.take_overhead()  # of other tests
    session.engine.score(Prompt("a", PROMPT), [[5, 0]])
    tokens, seconds = session.engine.take_overhead()
    assert tokens == 2 * (4 + 2)
    assert seconds > 0
    assert session.engine.take_overhead() == (0, 0.0)


# ---- secrecy


def test_no_text_and_no_ids_in_what_is_said(world, server, caplog):
    caplog.set_level(logging.DEBUG, logger="riskmon")
    session = opened(world, server, lora(world), engine={"retries": 1})
    secret = Prompt("s", "ask bad worse calm")
    ids = ", ".join(map(str, session.model.render(secret)))
    said = []
    for reply in (
        error(400, "ask bad worse calm [1, 6, 7, 3]"),
        error(404, "ask bad worse calm [1, 6, 7, 3]"),
        Reply(status=500, body=b"ask bad worse calm [1, 6, 7, 3]", headers={"Retry-After": "0"}),
        Reply(body=b"ask bad worse calm [1, 6, 7, 3]"),
        Reply(body=b'{"choices": "ask bad worse calm [1, 6, 7, 3]"}'),
    ):
        server.misbehave = lambda number, body, reply=reply: reply
        try:
            draw(session, "s", secret.content)
        except RiskmonError as exc:
            said.append("".join(traceback.format_exception(exc)))
    assert len(said) == 5
    for text in (*said, caplog.text):
        assert "worse calm" not in text
        assert ids not in text

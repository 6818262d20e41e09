"""The clock of device work: what it counts by hand, and that a session's costs add up to it."""

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.estimates import regex_harm, world_config
from support.judge_endpoint import Reply, serve
from support.judge_models import bert_classifier, subword_tokenizer
from support.worlds import PROMPT, STEPS

from riskmon.estimate.meter import Meter
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Hands:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Door:
    """A gate that is closed for as long as it is told."""

    def __init__(self, hands):
        self.hands, self.takes, self.rested = hands, 0.0, []

    def closed(self, rested):
        self.rested.append(rested)
        return self.takes > 0

    def wait(self, rested, tell):
        assert rested == 0 or self.rested[-1] == rested
        self.hands.now += self.takes
        tell()
        self.takes = 0.0


def test_time_inside_counts_once():
    hands = Hands()
    meter = Meter(now=hands)
    with meter.working():
        hands.now += 2
        with meter.working():
            hands.now += 3
        assert meter.seconds == 5
    hands.now += 10

    def fail():
        with meter.working():
            hands.now += 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (meter.seconds, meter.paused) == (6, 0)


def test_what_the_device_was_asked_for_is_waited_for():
    hands = Hands()

    def settle():
        hands.now += 7

    meter = Meter("cuda", settle, now=hands)
    with meter.working():
        hands.now += 1
    assert meter.seconds == 8
    hands.now += 1
    assert meter.seconds == 8


def test_a_rest_is_no_device_time():
    hands = Hands()
    door = Door(hands)
    meter = Meter(gate=door, now=hands)
    told = []
    meter.tell = lambda: told.append((meter.seconds, meter.paused))
    with meter.working():
        hands.now += 2
        door.takes = 30
        meter.give_way()
        assert told == [(2, 30)]
        hands.now += 1
        meter.give_way()
    assert (meter.seconds, meter.paused) == (3, 30)
    hands.now += 4
    door.takes = 5
    with meter.working():
        hands.now += 1
    assert (meter.seconds, meter.paused) == (4, 35)
    assert door.rested == [float("inf"), 0, 0, 4]


def test_a_rest_that_is_broken_off_is_counted():
    hands = Hands()

    class Broken(Door):
        def wait(self, rested, tell):
            super().wait(rested, tell)
            raise KeyboardInterrupt

    door = Broken(hands)
    meter = Meter(gate=door, now=hands)

    def work():
        with meter.working():
            door.takes = 3
            meter.give_way()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (meter.seconds, meter.paused) == (0, 3)


@pytest.mark.parametrize(
    ("model", "judge", "counted"),
    [("cpu", "cpu", True), ("cuda", "cuda", True), ("cuda", "cpu", False), ("cpu", "cuda", True)],
)
def test_a_judge_on_the_cpu_beside_a_gpu_is_no_device_time(model, judge, counted):
    hands = Hands()
    meter = Meter(model, now=hands)
    with meter.beside(judge).working():
        hands.now += 1
    assert meter.seconds == counted


@pytest.mark.gpu
def test_kernels_that_were_asked_for_are_waited_for():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    meter = Meter.on(torch.device("cuda"))
    square = torch.randn(8192, 8192, device="cuda")
    with meter.working():
        for _ in range(20):
            square = square @ square / 8192
        asked = time.perf_counter()
        counted = meter.seconds
        waited = time.perf_counter() - asked
    assert 0 < waited <= counted
    begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begun.record()
    square @ square
    ended.record()
    ended.synchronize()
    assert counted > 10 * begun.elapsed_time(ended) / 1000


# ---- sessions


def seconds(results):
    return sum(result.estimates[0].device_seconds for result in results if result.estimates)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = bert_classifier(
        tmp_path_factory.mktemp("bert"), ("safe", "insult"), 1, tokenizer=subword_tokenizer(), positions=80
    )
    judge = {"kind": "hf-classifier", "model": str(folder), "labels": ["insult"], "dtype": "float32"}
    return {"name": "insult", "judge": {**judge, "device": "cpu"}}


@pytest.fixture(scope="module")
def judged(world, classifier):
    """A pattern, and a network of its own for a judge."""
    harms = [regex_harm("bad", r"\bbad\b"), classifier]
    return open_session(world_config(world.target, world.experts, harms=harms))


def test_costs_of_estimates_add_up_to_the_clock(judged):
    """Draws, checks of the two paths, scores of hits, verdicts; one by one, together, and further draws."""
    draws = []
    draw_many = judged.engine.draw_many
    judged.engine.draw_many = lambda jobs: [draws.append(d) or d for d in draw_many(jobs)]
    prompts = [Prompt(name, PROMPT) for name in "abcd"]
    before = judged.meter.seconds
    first = judged.estimate(prompts[0], keep=True)
    results = [first, *judged.estimate_many(prompts[1:], keep=True)]
    assert all(result.hits for result in results)
    assert seconds(results) == pytest.approx(judged.meter.seconds - before, rel=1e-9)
    drawn = sum(each.device_seconds for each in draws)
    assert 0 < drawn < seconds(results)

    results[1] = judged.refine(prompts[1], 40)
    assert seconds(results) == pytest.approx(judged.meter.seconds - before, rel=1e-9)


def test_verdicts_of_a_network_here_are_device_time_and_those_of_an_endpoint_are_not(world, classifier):
    """A cascade of both: only what the first one takes is counted."""

    def reply(number, text):
        return Reply(content="90", delay_s=0.3)

    with serve(reply) as endpoint:
        openai = {
            "kind": "openai",
            "url": endpoint.url,
            "model": "m",
            "rubric": "0 good, 100 bad",
            "concurrency": 64,
        }
        judge = {"kind": "cascade", "first": {**classifier["judge"], "threshold": 0.01}, "second": openai}
        harms = [{"name": "insult", "judge": judge}]
        session = open_session(
            world_config(world.target, world.experts, harms=harms, samples=40, pilot_share=0)
        )
        before, started = session.meter.seconds, time.perf_counter()
        result = session.estimate(Prompt("a", PROMPT))
        wall = time.perf_counter() - started
    assert len(endpoint.requests) == 40
    (estimate,) = result.estimates
    assert estimate.device_seconds == pytest.approx(session.meter.seconds - before, rel=1e-9)
    assert estimate.device_seconds < wall - 0.3


def test_work_that_no_estimate_states_is_on_the_clock(judged, world, tmp_path):
    """A choice of plans that scores old hits, a response of production, and prompts that fail."""
    kept = judged.estimate(Prompt("kept", PROMPT), keep=True)
    old = [replace(hit, voices="old") for hit in kept.hits]
    marks = [judged.meter.seconds]

    judged.replan(old, NOW)
    marks.append(judged.meter.seconds)
    seen = judged.observe(Prompt("seen", PROMPT, response="calm bad worse"))
    assert seen.verdicts["bad"].harmful
    marks.append(judged.meter.seconds)
    assert marks == sorted(set(marks))

    clean = judged.estimate(Prompt("clean", PROMPT))
    assert seconds([clean]) == pytest.approx(judged.meter.seconds - marks[-1], rel=1e-9)


def test_a_prompt_that_fails_costs_what_it_has_cost(world, tmp_path):
    """And its company states its own cost only."""
    folder = shutil.copytree(world.target, tmp_path / "target")
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][9] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = world_config(folder)
    # A single step, so that no draw says the broken word to itself.
    model = config.model.model_copy(update={"max_new_tokens": 1})
    session = open_session(config.model_copy(update={"model": model}))
    before = session.meter.seconds
    results = session.estimate_many([Prompt("well", "ask red and blue"), Prompt("sick", "ask red or blue")])
    assert [result.failure for result in results] == [None, "not_finite"]
    assert 0 < seconds(results) < session.meter.seconds - before


class Turnstile:
    """Closed for every third that asks."""

    def __init__(self):
        self.asked = 0

    def closed(self, rested):
        self.asked += 1
        return self.asked % 3 == 0

    def wait(self, rested, tell):
        pass


def test_work_gives_way_between_steps_and_comes_out_the_same(judged):
    """Once before it begins and before every decoding step; a rest in the middle changes no draw and no estimate."""
    prompt = Prompt("same", PROMPT)
    drawn, estimates = judged.draw(prompt), judged.estimate(prompt).estimates
    assert drawn.lengths.max() == STEPS
    judged.meter.gate = gate = Turnstile()
    try:
        again = judged.draw(prompt)
        asked = gate.asked
        after = judged.estimate(prompt).estimates
    finally:
        judged.meter.gate = None
    assert asked > STEPS
    np.testing.assert_array_equal(again.tokens, drawn.tokens)
    np.testing.assert_array_equal(again.token_log_probs, drawn.token_log_probs)
    assert [e.p for e in after] == [e.p for e in estimates]


def test_judges_give_way_between_batches(judged):
    judge = judged.judges[1]
    judged.meter.gate = gate = Turnstile()
    try:
        judge.judge(Prompt("x", PROMPT), ["calm"] * 100)
    finally:
        judged.meter.gate = None
    assert gate.asked == -(-100 // judge._batch_size) > 1

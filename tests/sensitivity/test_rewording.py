"""Rewording in a process of its own: the same as in place, and ended whenever it has to be."""

import multiprocessing
import threading
import time

import pytest
from support.estimates import regex_harm, world_config
from support.judge_endpoint import Reply, serve

from riskmon.config.sensitivity import SensitivityConfig
from riskmon.errors import ConfigError, RewordingEnded
from riskmon.records import Prompt
from riskmon.sensitivity.families import reword
from riskmon.sensitivity.rewording import reword_apart

PROMPTS = [Prompt("a", "good calm blue and red"), Prompt("b", "red or blue"), Prompt("c", "  ")]
ANSWERS = ("blue and calm red good", "good blue or calm red", "red and good calm blue")
LONG_S = 600.0  # an answer that nobody waits for


@pytest.fixture
def config(tmp_path):
    return world_config(tmp_path / "target", harms=[regex_harm("bad", "bad")])


def settings(endpoint, **more):
    paraphrase = {"kind": "openai", "url": endpoint.url, "model": "m", "concurrency": 1}
    return SensitivityConfig(variants=6, kinds=["typos", "paraphrase"], paraphrase=paraphrase, **more)


def ours():
    return [child for child in multiprocessing.active_children() if child.name == "riskmon-rewording"]


def once_asked(endpoint, then):
    """Do something as soon as the endpoint has been asked."""

    def wait():
        end = time.monotonic() + 250
        while not endpoint.requests and time.monotonic() < end:
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_it_gives_what_rewording_in_place_gives(config):
    with serve(lambda number, asked: Reply(ANSWERS[number % 3])) as endpoint:
        apart = reword_apart(config, settings(endpoint), PROMPTS)
        asked = len(endpoint.requests)
        assert apart == reword(config, settings(endpoint), PROMPTS)
    assert asked == 6  # three paraphrases of each prompt with text in it
    assert [len(wordings) for wordings in apart][2] == 1
    assert {variant.kind for variant in apart[0].variants} == {"typos", "paraphrase"}
    assert ours() == []


def test_a_model_on_this_machine_has_a_process_below_it(config, world):
    local = {"kind": "hf", "model": str(world.target), "device": "cpu", "chat_template": "none"}
    local_settings = SensitivityConfig(
        variants=6, kinds=["typos", "paraphrase"], paraphrase=local | {"max_new_tokens": 5}
    )
    short = [Prompt("a", "ask red or blue")]
    apart = reword_apart(config, local_settings, short)
    assert "paraphrase" in {variant.kind for variant in apart[0].variants}
    assert apart == reword(config, local_settings, short)


def test_without_a_model_for_paraphrases_it_is_done_in_place(config):
    plain = SensitivityConfig(variants=4)
    found = reword_apart(config, plain, PROMPTS, deadline=0.0, stop=lambda: True)
    assert found == reword(config, plain, PROMPTS)


@pytest.mark.parametrize("how", ["stop", "deadline"])
def test_an_endpoint_that_does_not_answer_is_not_waited_for(config, how):
    stopped = threading.Event()
    with serve(lambda number, asked: Reply("blue", delay_s=LONG_S)) as endpoint:
        patient = settings(endpoint)
        if how == "stop":
            watcher = once_asked(endpoint, stopped.set)
            with pytest.raises(RewordingEnded, match="stopped while prompts were being reworded"):
                reword_apart(config, patient, PROMPTS, stop=stopped.is_set)
            watcher.join()
            assert endpoint.requests
        else:
            with pytest.raises(RewordingEnded, match="overran the deadline"):
                reword_apart(config, patient, PROMPTS, deadline=time.monotonic())
    assert ours() == []


def test_a_process_that_dies_is_told_of(config):
    def kill():
        for child in ours():
            child.kill()

    with serve(lambda number, asked: Reply("blue", delay_s=LONG_S)) as endpoint:
        killer = once_asked(endpoint, kill)
        with pytest.raises(RewordingEnded, match=r"died \(exit code -9\)"):
            reword_apart(config, settings(endpoint), PROMPTS)
        killer.join()


def test_a_fault_of_the_user_keeps_its_class(config, tmp_path):
    with (
        serve(lambda number, asked: Reply("blue")) as endpoint,
        pytest.raises(ConfigError, match=r"missing\.yaml"),
    ):
        reword_apart(config, settings(endpoint, politeness=tmp_path / "missing.yaml"), PROMPTS)

"""Paraphrases: what is kept of an answer, a real endpoint, and a real model in a process of its own."""

import logging
import multiprocessing

import pytest
from support.estimates import world_config
from support.judge_endpoint import Reply, serve

from riskmon.config.sensitivity import EndpointParaphraser, LocalParaphraser, SensitivityConfig
from riskmon.errors import ModelUnavailable
from riskmon.records import Message, Prompt
from riskmon.sensitivity import paraphrase
from riskmon.sensitivity.families import reword
from riskmon.sensitivity.paraphrase import checked, manners, open_paraphraser
from riskmon.sensitivity.variants import last_user_turn

TEXT = "How do I cook 2 eggs? See https://example.org/eggs"
GOOD = "What is the way to boil 2 eggs, as in https://example.org/eggs?"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "empty"),
        ("  \n", "empty"),
        ("...", "empty"),
        (f" {TEXT.upper()}! ", "identical"),
        (GOOD * 6, "too_long"),
        ("2 eggs", "too_short"),
        ("I'm sorry, but I can't help with 2 eggs or https://example.org/eggs", "refused"),
        ("I cannot rewrite 2 https://example.org/eggs", "refused"),
        (GOOD.replace("2", "3"), "altered"),
        (GOOD.replace("/eggs", "/ham"), "altered"),
        (GOOD.replace("2 ", ""), "altered"),
    ],
)
def test_what_is_no_paraphrase_is_dropped_under_its_reason(answer, reason):
    found = checked(TEXT, [GOOD, answer])
    assert found.kept == (GOOD,)
    assert found.dropped == {reason: 1}


def test_quotes_around_it_are_taken_off_and_repeats_are_dropped():
    found = checked(
        "Tell me about cats", ['"Say something about cats"', "say something about CATS.", "“Cats, please”"]
    )
    assert found.kept == ("Say something about cats", "Cats, please")
    assert found.dropped == {"identical": 1}


def test_a_text_that_reads_like_a_refusal_may_be_paraphrased():
    assert checked("I can't sleep, what helps?", ["I cannot sleep. What would help?"]).kept


def config_of(world):
    return world_config(world.target, world.experts, samples=20)


def test_an_endpoint_is_asked_once_per_manner(world):
    def reply(number, asked):
        return Reply(f"Tell me a tale of 2 cats in manner {['one', 'two', 'three'][number - 1]}")

    text = "Tell me a story about 2 cats"
    with serve(reply) as endpoint:
        settings = EndpointParaphraser(kind="openai", url=endpoint.url, model="rewriter", concurrency=1)
        with open_paraphraser(config_of(world), settings) as ask:
            answers = ask(Prompt("a", text), text, 3)
    assert len(checked(text, answers).kept) == 3
    asked = [body["messages"][-1]["content"] for _, _, body in endpoint.requests]
    assert asked == [f"Rewrite this message {manner}:\n\n{text}" for manner in manners()[:3]]
    assert {body["model"] for _, _, body in endpoint.requests} == {"rewriter"}
    assert "Do not answer" in " ".join(endpoint.requests[0][2]["messages"][0]["content"].split())


def test_prompts_are_reworded_by_an_endpoint_and_what_is_dropped_is_counted(world, caplog):
    caplog.set_level(logging.DEBUG)
    prompts = [
        Prompt("p1", "Tell me a SECRET story"),
        Prompt("p2", (Message("system", "Be brief."), Message("user", "Sing a SECRET song for us"))),
        Prompt("p3", (Message("system", "Be brief."),)),
    ]

    def reply(number, asked):
        subject = "story" if "story" in asked else "song"
        return Reply(f"A SECRET {subject}, if you would") if number % 2 else Reply("")

    with serve(reply) as endpoint:
        model = {"kind": "openai", "url": endpoint.url, "model": "rewriter", "concurrency": 1}
        settings = SensitivityConfig(variants=4, kinds=["typos", "paraphrase"], paraphrase=model)
        first, second, third = reword(config_of(world), settings, prompts)
    assert [variant.kind for variant in first.variants] == ["typos", "paraphrase", "typos", "typos"]
    assert last_user_turn(first.variants[1].prompt) == "A SECRET story, if you would"
    assert last_user_turn(second.variants[1].prompt) == "A SECRET song, if you would"
    assert first.dropped == second.dropped == {"empty": 1}
    assert third.variants == ()
    assert len(endpoint.requests) == 4
    assert "SECRET" not in caplog.text
    assert "SECRET" not in repr((first, second, third))


def test_an_endpoint_that_refuses_is_the_users_to_fix(world):
    with serve(lambda number, asked: Reply(status=401)) as endpoint:
        settings = EndpointParaphraser(kind="openai", url=endpoint.url, model="rewriter")
        with (
            pytest.raises(ModelUnavailable, match=r"sensitivity\.paraphrase: .*'rewriter'; check url"),
            open_paraphraser(config_of(world), settings) as ask,
        ):
            ask(Prompt("a", "A SECRET text"), "A SECRET text", 2)


def test_an_endpoint_that_finds_every_request_unfit_is_the_users_to_fix(world):
    with serve(lambda number, asked: Reply(status=400)) as endpoint:
        settings = EndpointParaphraser(kind="openai", url=endpoint.url, model="rewriter")
        with (
            pytest.raises(ModelUnavailable, match=r"sensitivity\.paraphrase") as caught,
            open_paraphraser(config_of(world), settings) as ask,
        ):
            ask(Prompt("a", "A SECRET text"), "A SECRET text", 2)
    assert "SECRET" not in str(caught.value)


def local(folder):
    return LocalParaphraser(
        kind="hf", model=str(folder), device="cpu", chat_template="none", max_new_tokens=6, temperature=1.0
    )


def test_a_model_of_this_machine_is_sampled(world, monkeypatch):
    monkeypatch.setattr(paraphrase, "_loaded", None)
    config, settings, text = config_of(world), local(world.target), "ask red or blue"
    first, other, again = (paraphrase._sampled(config, settings, key, text, 12) for key in ("a", "b", "a"))
    assert first == again != other
    assert paraphrase._sampled(config, settings, "c", "red " * 100, 3) == [None, None, None]
    found = checked(text, first)
    assert found.kept  # words of the tiny model, which is no writer
    assert len(found.kept) + found.dropped.total() == 12


@pytest.mark.slow
def test_a_model_of_this_machine_lives_in_a_process_of_its_own(world, tmp_path):
    text = "ask red or blue"
    with open_paraphraser(config_of(world), local(world.target)) as ask:
        answers = ask(Prompt("a", text), text, 12)
        assert len(multiprocessing.active_children()) == 1
    assert not multiprocessing.active_children()
    assert checked(text, answers).kept
    (tmp_path / "config.json").write_text("{}")
    with (
        pytest.raises(ModelUnavailable, match=r"sensitivity\.paraphrase\.model .* does not load"),
        open_paraphraser(config_of(world), local(tmp_path)) as ask,
    ):
        ask(Prompt("a", text), text, 2)
    assert not multiprocessing.active_children()


def test_a_model_that_does_not_load_is_named_by_its_key(world, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    settings = LocalParaphraser(kind="hf", model=str(tmp_path), device="cpu")
    with pytest.raises(ModelUnavailable, match=r"sensitivity\.paraphrase\.model .* does not load"):
        paraphrase._load(config_of(world), settings)
    no_template = settings.model_copy(update={"model": str(world.target)})
    with pytest.raises(ModelUnavailable, match=r"set sensitivity\.paraphrase\.chat_template: none"):
        paraphrase._load(config_of(world), no_template)

"""One contract for every kind of expert: it differs from the target, has a proper distribution, covers the target's
support, and gives the exact expectation on an enumerable world."""

import numpy as np
import pytest
import torch
from support.estimates import HARMS, world_config
from support.worlds import PROMPT, WORDS, save, tiny_llama

from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.prefix import open_prefix
from riskmon.estimate.session import open_session
from riskmon.records import Message, Prompt

KINDS = ("checkpoint", "lora", "system_prompt")


@pytest.fixture(scope="module", params=KINDS)
def expert_config(request, world, lora_folder):
    return {
        "checkpoint": {"name": "variant", "kind": "checkpoint", "path": str(world.experts["unsafe"])},
        "lora": {"name": "variant", "kind": "lora", "path": str(lora_folder)},
        "system_prompt": {"name": "variant", "kind": "system_prompt", "text": "bad worse bad worse"},
    }[request.param]


@pytest.fixture(scope="module")
def session(world, expert_config):
    return open_session(world_config(world.target, [expert_config]))


def next_token(session, index):
    expert = session.engine._experts[index]
    with torch.inference_mode(), expert.active() as module:
        return open_prefix(
            module, expert.context(Prompt("p", PROMPT)), session.model.device
        ).logits.log_softmax(-1)


def test_differs_from_the_target(session):
    assert session.contrasts["variant"] > 1e-3


def test_is_a_distribution_over_the_targets_support(session):
    target, variant = next_token(session, 0), next_token(session, 1)
    assert variant.shape == target.shape == (len(WORDS),)
    assert variant.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(variant[torch.isfinite(target)]).all()


def test_leaves_the_target_untouched(world, session):
    next_token(session, 1)
    ids = torch.tensor([session.engine._experts[0].context(Prompt("p", PROMPT))])
    with torch.inference_mode():
        pristine = world.model(ids).logits[0, -1].log_softmax(-1)
    torch.testing.assert_close(next_token(session, 0), pristine, atol=1e-6, rtol=1e-6)


def test_gives_the_exact_expectation(world, session):
    truth = world.truth(HARMS["bad"])
    runs = np.array([session.estimate(Prompt(f"seed-{i}", PROMPT)).estimates[0].p for i in range(100)])
    assert abs(runs.mean() - truth) < 3.5 * runs.std(ddof=1) / 10


def test_two_adapters_live_beside_one_target(world, lora_folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(2)
    config = LoraConfig(r=1, target_modules=["o_proj"], init_lora_weights=False)
    get_peft_model(tiny_llama(0), config).save_pretrained(tmp_path / "second")
    pair = [
        {"name": "first", "kind": "lora", "path": str(lora_folder)},
        {"name": "second", "kind": "lora", "path": str(tmp_path / "second")},
    ]
    both = open_session(world_config(world.target, pair))
    alone = [open_session(world_config(world.target, [one])) for one in pair]
    for i, single in enumerate(alone, 1):
        torch.testing.assert_close(next_token(both, i), next_token(single, 1))
    assert both.contrasts == pytest.approx({**alone[0].contrasts, **alone[1].contrasts})


def refuse(world, expert, error=ExpertUnusable):
    with pytest.raises(error) as caught:
        open_session(world_config(world.target, [expert]))
    return str(caught.value)


def test_an_expert_that_changes_nothing_is_refused(world):
    message = refuse(world, {"name": "same", "kind": "checkpoint", "path": str(world.target)})
    assert "'same' computes exactly the target" in message


def test_another_vocabulary_is_refused(world, tmp_path):
    other = save(tiny_llama(1, words=(*WORDS, "extra")), tmp_path / "other")
    assert "11 tokens, the target has 10" in refuse(
        world, {"name": "big", "kind": "checkpoint", "path": str(other)}
    )


def test_the_same_size_with_other_words_is_refused(world, tmp_path):
    from support.worlds import tokenizer_of

    folder = save(tiny_llama(1), tmp_path / "renamed")
    tokenizer_of((*WORDS[:-1], "nor")).save_pretrained(folder)
    assert "names them differently" in refuse(world, {"name": "r", "kind": "checkpoint", "path": str(folder)})


def test_a_missing_checkpoint_names_the_key(world):
    message = refuse(
        world, {"name": "gone", "kind": "checkpoint", "path": "/nonexistent/model"}, ModelUnavailable
    )
    assert "'gone'" in message
    assert "does not load" in message


def test_a_missing_or_pickled_adapter_is_refused(world, lora_folder, tmp_path):
    expert = {"name": "leak", "kind": "lora", "path": str(tmp_path)}
    assert "no adapter_config.json" in refuse(world, expert, ModelUnavailable)
    (tmp_path / "adapter_config.json").write_bytes((lora_folder / "adapter_config.json").read_bytes())
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    assert "pickled adapters are refused" in refuse(world, expert, ModelUnavailable)


def test_an_adapter_of_another_shape_is_refused(world, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    wide = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=10, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        )
    )
    get_peft_model(wide, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "wide")
    message = refuse(world, {"name": "wide", "kind": "lora", "path": str(tmp_path / "wide")})
    assert "does not fit the target" in message


def test_a_system_prompt_joins_the_prompts_own(session):
    model = session.model
    model.tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    try:
        import dataclasses

        chat = dataclasses.replace(model, chat_template=True)
        own = Prompt("p", (Message("system", "good"), Message("user", "ask")))
        plain = model.tokenizer.decode(chat.render(own, system="bad"))
        assert plain.split().count("bad") == plain.split().count("good") == 1
        assert plain.index("bad") < plain.index("good")
    finally:
        model.tokenizer.chat_template = None

"""One contract for every kind of expert: it differs from the target, has a proper distribution, covers the target's
support, leaves the target untouched, and gives the exact expectation on an enumerable world."""

import dataclasses
import typing

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from support.directions import random_direction, write_direction
from support.estimates import HARMS, world_config
from support.worlds import BAD, PROMPT, STEPS, WORDS, WORSE, enumerate_answers, prompt_ids, save, tiny_llama
from tokenizers.processors import TemplateProcessing

from riskmon.config import ExpertConfig, ModelConfig
from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.engines.local.prefix import extend, open_prefix
from riskmon.estimate.experts import BUILDERS, build_experts
from riskmon.estimate.model import load_model
from riskmon.estimate.opening import open_session
from riskmon.records import Message, Prompt

FORCED = (BAD, WORSE)
# At the start, along the forced text, behind it, off it at once, and off it half-way.
ANSWERS = ((), (BAD,), (BAD, WORSE), (WORSE,), (BAD, 3), (2, 5, BAD, WORSE))
VARIANTS = (
    "checkpoint",
    "lora",
    "prefix",
    "prefix_as_context",
    "steering",
    "steering_add",
    "system_prompt",
    "temperature",
)


@pytest.fixture(scope="session")
def direction_file(tmp_path_factory):
    return write_direction(tmp_path_factory.mktemp("direction") / "d.safetensors", random_direction())


@pytest.fixture(scope="module")
def variants(world, lora_folder, direction_file):
    direction = str(direction_file)
    return {
        "checkpoint": {"kind": "checkpoint", "path": str(world.experts["unsafe"])},
        "lora": {"kind": "lora", "path": str(lora_folder)},
        "prefix": {"kind": "prefix", "text": "bad worse"},
        "prefix_as_context": {"kind": "prefix", "text": "bad worse", "scored": False},
        "steering": {"kind": "steering", "path": direction, "strength": 0.7},
        "steering_add": {"kind": "steering", "path": direction, "operation": "add", "layers": [0]},
        "system_prompt": {"kind": "system_prompt", "text": "bad worse bad worse"},
        "temperature": {"kind": "temperature", "temperature": 2.0},
    }


@pytest.fixture(scope="module", params=VARIANTS)
def expert_config(request, variants):
    return {"name": "variant", **variants[request.param]}


@pytest.fixture(scope="module")
def experts(world, expert_config):
    return build(world, expert_config)


def build(world, *configs):
    """The target and these experts, freshly loaded."""
    model = ModelConfig(target=str(world.target), chat_template="none", device="cpu", max_new_tokens=STEPS)
    adapter = TypeAdapter(ExpertConfig)
    return build_experts([adapter.validate_python(config) for config in configs], load_model(model), model)


@torch.inference_mode()
def next_token(expert, answer=()):
    """[V] log-probs of the token behind a partial answer, by one full pass without a cache."""
    with expert.active() as module:
        ids = torch.tensor([[*expert.context(Prompt("p", PROMPT)), *answer]])
        logits = module(input_ids=ids).logits[:, -1]
    return expert.adjust(logits, torch.tensor([answer], dtype=torch.int64)).log_softmax(-1)[0]


def pristine(world, answer=()):
    """[V] log-probs of the target, from a network that no expert has touched."""
    with torch.inference_mode():
        return (
            world.model(torch.cat([prompt_ids(), torch.tensor(answer, dtype=torch.int64)])[None])
            .logits[0, -1]
            .log_softmax(-1)
        )


def test_every_kind_is_under_the_contract(variants):
    kinds = {config["kind"] for config in variants.values()}
    configured = {
        typing.get_args(member.model_fields["kind"].annotation)[0]
        for member in typing.get_args(typing.get_args(ExpertConfig)[0])
    }
    assert kinds == set(BUILDERS) == configured
    assert set(variants) == set(VARIANTS)


def test_differs_from_the_target(experts):
    moved = max(float((next_token(experts[1], a) - next_token(experts[0], a)).abs().max()) for a in ANSWERS)
    assert moved > 1e-2


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_is_a_distribution_over_the_targets_support(experts, answer):
    target, variant = next_token(experts[0], answer), next_token(experts[1], answer)
    assert variant.shape == target.shape == (len(WORDS),)
    assert torch.isfinite(target).all()
    assert torch.isfinite(variant).all()
    assert variant.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_leaves_the_target_untouched(world, experts):
    for answer in ANSWERS:
        next_token(experts[1], answer)
        torch.testing.assert_close(
            next_token(experts[0], answer), pristine(world, answer), atol=1e-6, rtol=1e-6
        )


def test_leaves_the_target_untouched_after_an_error(world, experts):
    with pytest.raises(KeyError), experts[1].active():
        raise KeyError
    with experts[0].active() as module:
        assert not any(part._forward_hooks for part in module.modules())
    torch.testing.assert_close(next_token(experts[0]), pristine(world), atol=1e-6, rtol=1e-6)


@torch.inference_mode()
def test_token_by_token_equals_one_pass(experts):
    answer = (BAD, 3, 2)
    expert = experts[1]
    context = expert.context(Prompt("p", PROMPT))
    with expert.active() as module:
        prefix = open_prefix(module, context, torch.device("cpu"))
    cache, rows = prefix.spread(1), [prefix.logits]
    for i, token in enumerate(answer):
        with expert.active() as module:
            rows.append(extend(module, cache, torch.tensor([[token]]), len(context) + i)[0, -1])
    for said, logits in enumerate(rows):
        tokens = torch.tensor([answer[:said]], dtype=torch.int64)
        stepwise = expert.adjust(logits[None], tokens).log_softmax(-1)[0]
        torch.testing.assert_close(stepwise, next_token(expert, answer[:said]), atol=1e-5, rtol=1e-5)


def test_adjust_keeps_rows_apart_and_the_callers_array(experts):
    logits = torch.randn((3, len(WORDS)), generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    for answers in (((), (), ()), ((BAD,), (2,), (BAD,)), (FORCED, (BAD, 2), (2, WORSE))):
        tokens = torch.tensor(answers, dtype=torch.int64).reshape(3, -1)
        together = experts[1].adjust(logits, tokens)
        assert torch.equal(logits, before)
        for i in range(3):
            alone = experts[1].adjust(logits[i : i + 1], tokens[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("kind", ["prefix", "temperature"])
def test_a_derived_expert_has_the_targets_context_and_network(world, variants, kind):
    target, expert = build(world, {"name": "variant", **variants[kind]})
    prompt = Prompt("p", PROMPT)
    assert expert.derived
    assert expert.context(prompt) == target.context(prompt)
    with target.active() as own, expert.active() as network:
        assert network is own


def test_gives_the_exact_expectation(world, expert_config):
    session = open_session(world_config(world.target, [expert_config]))
    assert session.contrasts["variant"] > 1e-3
    truth = world.truth(HARMS["bad"])
    runs = np.array([session.estimate(Prompt(f"seed-{i}", PROMPT)).estimates[0].p for i in range(100)])
    assert abs(runs.mean() - truth) < 3.5 * runs.std(ddof=1) / 10


def test_two_adapters_live_beside_one_target(world, lora_folder, tmp_path):
    second = second_adapter(tmp_path / "second")
    pair = [
        {"name": "first", "kind": "lora", "path": str(lora_folder)},
        {"name": "second", "kind": "lora", "path": str(second)},
    ]
    both = build(world, *pair)
    for i, one in enumerate(pair, 1):
        torch.testing.assert_close(next_token(both[i]), next_token(build(world, one)[1]))
    assert (next_token(both[1]) - next_token(both[2])).abs().max() > 1e-2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1)], ids=["adapters first", "steering first"])
def test_adapters_and_steering_live_beside_one_target(world, variants, tmp_path, order):
    several = [
        {"name": "first", **variants["lora"]},
        {"name": "second", "kind": "lora", "path": str(second_adapter(tmp_path / "second"))},
        {"name": "ablated", **variants["steering"]},
        {"name": "added", **variants["steering_add"]},
    ]
    configs = [several[i] for i in order]
    together = build(world, *configs)
    alone = [build(world, config)[1] for config in configs]
    for answer in ANSWERS[:2]:
        for expert, single in zip(together[1:], alone, strict=True):
            torch.testing.assert_close(next_token(expert, answer), next_token(single, answer))
            torch.testing.assert_close(next_token(together[0], answer), pristine(world, answer))


def second_adapter(folder):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(2)
    config = LoraConfig(r=1, target_modules=["o_proj"], init_lora_weights=False)
    get_peft_model(tiny_llama(0), config).save_pretrained(folder)
    return folder


# ---- prefix


def test_a_scored_prefix_has_its_answers_exact_probability(world, variants):
    share = 0.8
    expert = build(world, {"name": "v", **variants["prefix"], "share": share})[1]
    answers, log_target = enumerate_answers(world.model, steps=3)
    known = dict(zip(answers, log_target.tolist(), strict=True))

    def target(*answer):  # P[the target's answer begins so]
        return sum(np.exp(p) for known_answer, p in known.items() if known_answer[: len(answer)] == answer)

    for answer in ((BAD, WORSE, 2), (BAD, 3, 4), (5, BAD, WORSE)):
        log_q = sum(float(next_token(expert, answer[:i])[token]) for i, token in enumerate(answer))
        first = (1 - share) * target(answer[0]) + share * (answer[0] == BAD)
        second = target(*answer[:2]) / target(answer[0])
        if answer[0] == BAD:
            second = (1 - share) * second + share * (answer[1] == WORSE)
        third = target(*answer) / target(*answer[:2])
        assert log_q == pytest.approx(np.log(first * second * third), abs=1e-4)


def test_a_scored_prefix_keeps_what_the_target_cannot_say(world, variants):
    expert = build(world, {"name": "v", **variants["prefix"]})[1]
    logits = torch.zeros((1, len(WORDS)), dtype=torch.bfloat16)
    logits[0, [3, BAD]] = -torch.inf
    log_probs = expert.adjust(logits, torch.empty((1, 0), dtype=torch.int64))[0]
    assert log_probs.dtype == torch.float32
    assert log_probs[3] == -torch.inf
    assert log_probs.exp()[BAD].item() == pytest.approx(0.9)
    assert log_probs.exp().sum().item() == pytest.approx(1)


def test_a_prefix_as_context_stands_behind_the_prompt(world, variants):
    target, expert = build(world, {"name": "v", **variants["prefix_as_context"]})
    assert expert.context(Prompt("p", PROMPT)) == [*prompt_ids().tolist(), *FORCED]
    torch.testing.assert_close(next_token(expert), next_token(target, FORCED))


def test_a_prefix_is_encoded_without_special_tokens(world, variants):
    config = ModelConfig(target=str(world.target), chat_template="none", device="cpu", max_new_tokens=STEPS)
    model = load_model(config)
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="good $A", special_tokens=[("good", WORDS.index("good"))]
    )
    assert model.tokenizer("bad")["input_ids"] == [
        WORDS.index("good"),
        BAD,
    ]  # as models with a first token do
    section = TypeAdapter(ExpertConfig).validate_python({"name": "v", **variants["prefix_as_context"]})
    target, expert = build_experts([section], model, config)
    prompt = Prompt("p", PROMPT)
    assert expert.context(prompt) == [*target.context(prompt), *FORCED]


@pytest.mark.parametrize("scored", [True, False])
def test_a_prefix_without_tokens_is_refused(world, scored):
    with pytest.raises(ExpertUnusable, match="'blank': its text encodes to no token"):
        build(world, {"name": "blank", "kind": "prefix", "text": "  ", "scored": scored})


# ---- temperature


def test_temperature_divides_the_logits(world):
    target, expert = build(world, {"name": "hot", "kind": "temperature", "temperature": 2.5})
    torch.testing.assert_close(next_token(expert), (next_token(target) / 2.5).log_softmax(-1))
    half = torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16)
    assert torch.equal(expert.adjust(half, torch.empty((1, 0))), torch.tensor([[0.4, 1.2]]))


# ---- what is refused


def refuse(world, expert, error=ExpertUnusable):
    with pytest.raises(error) as caught:
        build(world, expert)
    return str(caught.value)


def test_an_expert_that_changes_nothing_is_refused(world):
    same = {"name": "same", "kind": "checkpoint", "path": str(world.target)}
    with pytest.raises(ExpertUnusable, match="'same' computes exactly the target"):
        open_session(world_config(world.target, [same]))


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


def test_a_system_prompt_joins_the_prompts_own(world):
    model = load_model(ModelConfig(target=str(world.target), chat_template="none", device="cpu"))
    model.tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    chat = dataclasses.replace(model, chat_template=True)
    own = Prompt("p", (Message("system", "good"), Message("user", "ask")))
    plain = model.tokenizer.decode(chat.render(own, system="bad"))
    assert plain.split().count("bad") == plain.split().count("good") == 1
    assert plain.index("bad") < plain.index("good")

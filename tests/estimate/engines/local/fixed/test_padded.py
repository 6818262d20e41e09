"""Contexts and rescoring at rounded lengths: what is behind the end is never seen."""

import numpy as np
import pytest
import torch
from support.estimates import world_config
from support.worlds import PROMPT, STEPS, prompt_ids, tiny_llama
from transformers import MistralConfig, MistralForCausalLM

from riskmon.estimate.engines.local.contexts import Contexts
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.opening import open_session
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Prompt

CPU = torch.device("cpu")


@torch.inference_mode()
def test_a_padded_context_is_the_context():
    module = tiny_llama(0).requires_grad_(False)
    ids = prompt_ids().tolist()
    plain, padded = open_prefix(module, ids, CPU), open_prefix(module, ids, CPU, padded=64)
    assert padded.length == len(ids) < 64
    torch.testing.assert_close(padded.logits, plain.logits, atol=1e-5, rtol=0)
    for own, expected in zip((*padded.keys, *padded.values), (*plain.keys, *plain.values), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_caches_with_rules_of_their_own_are_not_padded():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 4}
    module = MistralForCausalLM(MistralConfig(vocab_size=11, **sizes, **heads)).eval()
    lengths = []
    hook = module.model.register_forward_pre_hook(
        lambda layer, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    open_prefix(module, [1, 2, 3, 4, 5], CPU, padded=64)
    hook.remove()
    assert lengths == [5]


@pytest.mark.parametrize(("fixed", "expected"), [(False, [6, 9]), (True, [64, 64])])
def test_prompts_of_like_length_are_run_at_one_length(world, fixed, expected):
    session = open_session(world_config(world.target, {}))
    lengths = []
    module = session.model.module
    hook = module.model.register_forward_pre_hook(
        lambda layer, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    contexts = Contexts(session.model, session.engine.experts, STEPS, fixed=fixed)
    texts = [" ".join(["red"] * 6), " ".join(["blue"] * 9)]
    with torch.inference_mode():
        found = [contexts.get(Prompt(text, text), 0).length for text in texts]
    hook.remove()
    assert found == [6, 9]
    assert lengths == expected
    assert contexts.work == 15


def test_rescoring_at_rounded_lengths_gives_the_same(world):
    """Answers of all lengths, some shorter than any rounded one."""
    prompt = Prompt("p", PROMPT)
    plain, fixed = (
        open_session(world_config(world.target, world.experts, model={"decoding": way}))
        for way in ("eager", "graphs")
    )
    assert fixed.config == plain.config
    rng = prompt_stream(0, "answers")
    answers = [rng.integers(1, 9, size=length).tolist() for length in (1, 2, STEPS, 3, 1)]
    np.testing.assert_allclose(
        fixed.engine.score(prompt, answers), plain.engine.score(prompt, answers), atol=5e-5
    )

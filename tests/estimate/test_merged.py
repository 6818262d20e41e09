"""Merged copies of adapters: the same variant for less, never at the target's expense."""

import logging
from unittest.mock import patch

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.estimates import world_config
from support.worlds import PROMPT, language_model, prompt_ids, tiny_llama
from transformers import GPT2Config, GPT2LMHeadModel

from riskmon.errors import ExpertUnusable
from riskmon.estimate.experts import merged
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.merged import MergedCopies
from riskmon.estimate.fingerprint import voices_fingerprint
from riskmon.estimate.head import widen_head
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

IDS = prompt_ids()[None]


def gpt2():
    """Its layers keep their weights the other way round."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()


def adapter_of(make, folder, seed=1, **settings):
    """A saved adapter with random weights on both sides."""
    torch.manual_seed(seed)
    settings = {"r": 2, "lora_alpha": 8, "init_lora_weights": False, **settings}
    get_peft_model(make(), LoraConfig(**settings)).save_pretrained(folder)
    return folder


def llama():
    return tiny_llama(0)


def logits_of(weights, adapter):
    with torch.inference_mode(), weights.active(adapter) as module:
        return module(input_ids=IDS).logits


def weights_of(make, **adapters):
    """The target with adapters, each given as (folder, how it is merged)."""
    weights = TargetWeights(language_model(make().requires_grad_(False)))
    for name, (folder, merging) in adapters.items():
        weights.add_adapter(name, folder, merging)
    return weights


ADAPTERS = {
    "attention": (llama, {"target_modules": ["q_proj", "v_proj"]}),
    "all layers": (llama, {"target_modules": "all-linear"}),
    "head": (llama, {"target_modules": ["lm_head", "o_proj"]}),
    "ranks of their own": (llama, {"target_modules": ["q_proj", "up_proj"], "rank_pattern": {"up_proj": 3}}),
    "rslora": (llama, {"target_modules": ["down_proj"], "use_rslora": True}),
    "transposed": (gpt2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_merged_adapter_is_the_unmerged_one_and_the_target_is_itself(kind, tmp_path):
    make, settings = ADAPTERS[kind]
    folder = adapter_of(make, tmp_path, **settings)
    weights = weights_of(make, variant=(folder, "always"))
    plain = weights_of(make, variant=(folder, "never"))
    assert weights.merged("variant")
    assert not plain.merged("variant")
    found, expected = logits_of(weights, "variant"), logits_of(plain, "variant")
    torch.testing.assert_close(found.log_softmax(-1), expected.log_softmax(-1), atol=1e-5, rtol=0)
    with torch.inference_mode():
        target = make()(input_ids=IDS).logits
    torch.testing.assert_close(logits_of(weights, None), target, atol=0, rtol=0)
    assert float((found - target).abs().max()) > 0.01


def test_a_copy_shares_what_does_not_change(tmp_path):
    folder = adapter_of(llama, tmp_path, target_modules=["q_proj", "lm_head"])
    weights = weights_of(llama, variant=(folder, "always"))
    target = dict(weights.model.module.named_parameters(remove_duplicate=False))
    with weights.active("variant") as module:
        own = dict(module.named_parameters(remove_duplicate=False))
    assert own.keys() == target.keys()
    changed = {name for name in own if own[name] is not target[name]}
    assert changed == {name for name in own if "q_proj" in name or "lm_head" in name}


def test_once_all_are_merged_the_target_runs_without_detours(tmp_path):
    folder = adapter_of(llama, tmp_path, target_modules=["q_proj"])
    weights = weights_of(llama, variant=(folder, "always"))
    with weights.active(None) as module:
        assert module is weights.model.module
        assert {type(part).__module__.split(".")[0] for part in module.modules()} <= {"torch", "transformers"}


UNMERGEABLE = {
    "dora": {"target_modules": ["q_proj"], "use_dora": True},
    "whole modules": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
}


@pytest.mark.parametrize("kind", UNMERGEABLE)
def test_what_weights_do_not_tell_stays_unmerged(kind, tmp_path, caplog):
    """Beside another adapter that is merged: its copy must not hold anything of this one."""
    odd = adapter_of(llama, tmp_path / "odd", seed=2, **UNMERGEABLE[kind])
    plain = adapter_of(llama, tmp_path / "plain", target_modules=["q_proj", "o_proj"])
    with caplog.at_level(logging.INFO):
        weights = weights_of(llama, odd=(odd, "always"), plain=(plain, "always"))
    assert (weights.merged("odd"), weights.merged("plain")) == (False, True)
    assert sum("unmerged" in message and "'odd'" in message for message in caplog.messages) == 1
    alone = {
        name: weights_of(llama, **{name: (path, "never")}) for name, path in (("odd", odd), ("plain", plain))
    }
    for name, single in alone.items():
        torch.testing.assert_close(logits_of(weights, name), logits_of(single, name), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits_of(weights, None), llama()(input_ids=IDS).logits, atol=0, rtol=0)


def test_copies_are_made_on_a_gpu_as_far_as_half_of_its_memory_goes(tmp_path, caplog):
    """Sizes as they are, the GPU and what is free of it pretended."""
    folders = [adapter_of(llama, tmp_path / str(i), seed=i, target_modules=["q_proj"]) for i in range(3)]
    weights = weights_of(llama, **{f"v{i}": (folder, "never") for i, folder in enumerate(folders)})
    changed = merged.changed_layers(weights._peft, "v0")
    size = merged.copy_bytes(changed)
    assert size == sum(layer.weight.nbytes for layer in changed.values()) > 0
    copies = MergedCopies(torch.device("cuda"))
    with caplog.at_level(logging.INFO), patch.object(merged, "free_bytes", lambda device: 5 * size / 0.7):
        made = [copies.make(weights._peft, f"v{i}", "auto", 0.7) for i in range(3)]
    assert made == [True, True, False]
    assert ["unmerged" in message for message in caplog.messages] == [False, False, True]


@pytest.mark.parametrize(("merging", "device"), [("never", "cuda"), ("auto", "cpu")])
def test_no_copy_where_none_is_wanted(merging, device, lora_folder):
    weights = weights_of(llama, variant=(lora_folder, "never"))
    assert not MergedCopies(torch.device(device)).make(weights._peft, "variant", merging, 1.0)


def test_memory_that_runs_out_leaves_the_adapter_unmerged(lora_folder, caplog):
    with caplog.at_level(logging.INFO), patch.object(merged, "_added_up", side_effect=torch.OutOfMemoryError):
        weights = weights_of(llama, variant=(lora_folder, "always"))
    assert not weights.merged("variant")
    assert "memory ran out" in caplog.text
    plain = weights_of(llama, variant=(lora_folder, "never"))
    torch.testing.assert_close(logits_of(weights, "variant"), logits_of(plain, "variant"))


def test_in_half_precision_sums_are_rounded_once_and_heads_stay_wide(tmp_path):
    def half():
        made = llama().to(torch.bfloat16)
        widen_head(made)
        return made

    folder = adapter_of(llama, tmp_path, target_modules=["q_proj", "lm_head"])
    weights = weights_of(half, variant=(folder, "always"))
    base = half().model.layers[0].self_attn.q_proj.weight
    with weights.active("variant") as module:
        own = module.model.layers[0].self_attn.q_proj.weight
    plain = weights_of(half, variant=(folder, "never"))
    with plain.active("variant") as module:
        layer = module.get_base_model().model.layers[0].self_attn.q_proj
        exact = (
            base.double()
            + 4 * layer.lora_B["variant"].weight.double() @ layer.lora_A["variant"].weight.double()
        )
    torch.testing.assert_close(own, exact.to(torch.bfloat16), atol=0, rtol=2**-8)
    assert logits_of(weights, "variant").dtype == torch.float32


def test_a_rewritten_adapter_gives_a_copy_of_the_new_one(tmp_path):
    """As after a refit: the same folder, opened again."""
    found = []
    for seed in (1, 2):
        folder = adapter_of(llama, tmp_path, seed=seed, target_modules=["q_proj"])
        found.append([logits_of(weights_of(llama, v=(folder, how)), "v") for how in ("always", "never")])
    for one, other in found:
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert float((found[0][0] - found[1][0]).abs().max()) > 0.01


def test_an_adapter_that_would_change_the_target_is_refused(tmp_path):
    """peft leaves such biases in the base model when the adapter is switched off."""
    folder = adapter_of(llama, tmp_path, target_modules=["q_proj"], bias="all")
    with pytest.raises(ExpertUnusable, match=r"expert 'v'.*bias 'all'.*bias 'none'"):
        weights_of(llama, v=(folder, "never"))


# ---- the whole way


@pytest.fixture(scope="module")
def drawn(world, lora_folder):
    """Draws, and fingerprints of their voices, by how the adapter is merged and the weights' dtype."""
    expert = {"name": "adapter", "kind": "lora", "path": str(lora_folder), "ladder": [0.5, 1.0]}
    found = {}
    for how, dtype in (
        ("always", "float32"),
        ("never", "float32"),
        ("always", "bfloat16"),
        ("never", "bfloat16"),
    ):
        config = world_config(world.target, [expert], model={"merge_adapters": how, "dtype": dtype})
        session = open_session(config)
        found[how, dtype] = session.draw(Prompt("p", PROMPT), 60), session.planner.fingerprint
    return found


def test_draws_from_a_merged_adapter_are_those_of_the_unmerged_one(drawn):
    one, other = (drawn[how, "float32"][0] for how in ("always", "never"))
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_allclose(one.log_proposals, other.log_proposals, atol=1e-4)
    assert one.path_discrepancy < 5e-5


def test_hits_are_scored_anew_where_rounding_has_made_another_network(drawn, world):
    marks = {key: fingerprint for key, (_, fingerprint) in drawn.items()}
    assert marks["always", "float32"] == marks["never", "float32"]
    assert marks["always", "bfloat16"] != marks["never", "bfloat16"]
    config = world_config(world.target, [])
    assert voices_fingerprint(config) != voices_fingerprint(config, ["adapter"])

"""Logits of networks in half precision: float32, not rounded once more, nearer to one another on two paths."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.worlds import save, tiny_llama
from transformers import LlamaConfig, LlamaForCausalLM

from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.shareable import can_share
from riskmon.estimate.engines.local.strands import Strands
from riskmon.estimate.head import WideHead, widen_head
from riskmon.estimate.model import load_module

CPU = torch.device("cpu")
IDS = torch.tensor([[1, 2, 5, 3, 3, 1]])


@pytest.fixture
def module():
    """Wide enough a vocabulary for two pieces; logits near ten, where bfloat16 goes in steps of 0.06."""
    torch.manual_seed(0)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=1500,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
    ).to(torch.bfloat16)
    with torch.no_grad():
        made.model.norm.weight.mul_(4)
    return made.eval().requires_grad_(False)


def states_of(module):
    """What the head is given: [1, t, hidden] bfloat16."""
    found = []
    handle = module.lm_head.register_forward_pre_hook(lambda layer, inputs: found.append(inputs[0]))
    module(input_ids=IDS)
    handle.remove()
    return found[0]


@torch.inference_mode()
def test_the_last_product_is_not_rounded_to_half_precision(module):
    exact = states_of(module).double() @ module.lm_head.weight.double().T
    before = module(input_ids=IDS).logits
    widen_head(module)
    after = module(input_ids=IDS).logits
    assert (before.dtype, after.dtype) == (torch.bfloat16, torch.float32)
    assert float((before.double() - exact).abs().max()) > 0.02
    assert float((after.double() - exact).abs().max()) < 1e-4


@torch.inference_mode()
def test_a_bias_counts():
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 5).to(torch.bfloat16)
    states = torch.randn(2, 3, 8, dtype=torch.bfloat16)
    expected = states.double() @ layer.weight.double().T + layer.bias.double()
    torch.testing.assert_close(WideHead(layer)(states).double(), expected, atol=1e-5, rtol=0)


def test_weights_are_shared_and_stay_tied(module):
    weight = module.lm_head.weight
    widen_head(module)
    assert module.lm_head.weight is weight is module.model.embed_tokens.weight
    assert module.get_output_embeddings() is module.lm_head


def test_float32_networks_and_those_done_already_stay_as_they_are(module):
    plain = tiny_llama(0)
    head = plain.lm_head
    widen_head(plain)
    assert plain.lm_head is head
    widen_head(module)
    head = module.lm_head
    widen_head(module)
    assert module.lm_head is head


@torch.inference_mode()
def test_two_paths_to_a_log_prob_agree_better(module):
    """Decoding behind a shared context and a forward pass of the whole; the rest is the layers' own rounding."""
    said = torch.arange(1, 60)
    answers = torch.randint(0, 1500, (24, 8), generator=torch.Generator().manual_seed(0))

    def discrepancy():
        context = open_prefix(module, said.tolist(), CPU)
        strands = Strands()
        decoded = [strands.add(module, context, answers[:, :0])]
        decoded += [strands.step(module, answers[:, step]) for step in range(7)]
        whole = module(input_ids=torch.cat([said.expand(24, -1), answers], 1)).logits[:, len(said) - 1 : -1]
        one, other = (
            logits.double().log_softmax(-1).gather(-1, answers[..., None])
            for logits in (torch.stack(decoded, 1), whole)
        )
        return float((one - other).square().mean().sqrt())

    before = discrepancy()
    widen_head(module)
    assert 0 < discrepancy() < before


@torch.inference_mode()
def test_a_network_in_half_precision_still_shares_its_contexts(module):
    widen_head(module)
    assert can_share(module, CPU)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "auto"])
def test_loaded_networks_give_float32(tmp_path, dtype):
    folder = save(tiny_llama(0).to(torch.bfloat16), tmp_path / "half")
    module = load_module(str(folder), None, dtype, CPU, key="model.target")
    assert module.model.embed_tokens.weight.dtype == getattr(torch, "bfloat16" if dtype == "auto" else dtype)
    with torch.inference_mode():
        assert module(input_ids=IDS).logits.dtype == torch.float32


def test_an_adapter_on_the_head_still_works_and_trains(module):
    """Refitting an adapter goes through gradients, which the wide product has none of."""
    widen_head(module)
    plain = copy.deepcopy(module)
    adapted = get_peft_model(module, LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False))
    logits = adapted(input_ids=IDS).logits
    assert logits.dtype == torch.float32
    logits.sum().backward()
    trained = [part.grad for name, part in adapted.named_parameters() if "lora_B" in name]
    assert len(trained) == 1
    assert float(trained[0].abs().max()) > 0
    with torch.inference_mode():
        assert float((adapted(input_ids=IDS).logits - plain(input_ids=IDS).logits).abs().max()) > 0.1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_the_gpu_s_product_is_not_rounded_either(module):
    states = states_of(module)
    exact = states.double() @ module.lm_head.weight.double().T
    found = WideHead(module.lm_head).cuda()(states.cuda()).cpu()
    assert found.dtype == torch.float32
    assert float((found.double() - exact).abs().max()) < 1e-3

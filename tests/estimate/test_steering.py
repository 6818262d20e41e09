"""Steering on several real architectures: the hooks touch every row, do what the formula says, and go away."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.directions import (
    ARCHITECTURES,
    HIDDEN,
    LAYERS,
    random_direction,
    tiny_decoder,
    write_direction,
)
from support.worlds import language_model, tiny_llama
from torch import nn

from riskmon.config import ModelConfig
from riskmon.config.experts import SteeringExpert
from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.steering import build_steering, decoder_layers, hidden_state

ROWS = torch.tensor([[1, 4, 9, 5], [2, 2, 3, 8], [6, 7, 6, 7]])


@pytest.fixture(params=ARCHITECTURES)
def target(request):
    return language_model(tiny_decoder(request.param))


@pytest.fixture
def file(tmp_path):
    return write_direction(tmp_path / "d.safetensors", random_direction())


def steer(target, path: Path, **config):
    section = SteeringExpert(name="steered", kind="steering", path=path, **config)
    return build_steering(section, TargetWeights(target), ModelConfig(target="unused"))


@torch.inference_mode()
def run(module):
    """Logits, and the hidden states behind each layer as what comes next receives them."""
    layers = decoder_layers(module)
    seen: list[torch.Tensor] = []
    after = [*list(layers)[1:], final_norm(module)]
    handles = [
        part.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0]), with_kwargs=True
        )
        for part in after
    ]
    try:
        return module(input_ids=ROWS).logits, seen
    finally:
        for handle in handles:
            handle.remove()


def final_norm(module) -> nn.Module:
    decoder = module.get_decoder()
    return next(
        getattr(decoder, name) for name in ("norm", "ln_f", "final_layer_norm") if hasattr(decoder, name)
    )


def steered_run(expert):
    with expert.active() as module:
        return run(module)


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_ablation_leaves_the_stated_share_of_the_component(target, file, strength):
    unit = random_direction() / random_direction().norm()
    expert = steer(target, file, strength=strength)
    with expert.active() as module:
        raw: list[torch.Tensor] = []  # what the layers themselves computed, seen by hooks before the expert's
        for layer in decoder_layers(module):
            layer.register_forward_hook(lambda _, args, out: raw.append(hidden_state(out)), prepend=True)
        _, left = run(module)
    assert len(raw) == len(left) == LAYERS
    for before, after in zip(raw, left, strict=True):
        assert ((before @ unit).abs() > 1e-3).all()  # every row and position has something to remove
        torch.testing.assert_close(after @ unit, (1 - strength) * (before @ unit), atol=1e-5, rtol=1e-4)
        across = before - (before @ unit).unsqueeze(-1) * unit
        torch.testing.assert_close(after - (after @ unit).unsqueeze(-1) * unit, across, atol=1e-5, rtol=1e-4)


def test_every_row_and_position_changes(target, file):
    plain, _ = run(target.module)
    for config in ({}, {"operation": "add", "layers": (0,)}):
        steered, _ = steered_run(steer(target, file, **config))
        assert ((steered - plain).abs().amax(-1) > 1e-4).all()


def test_adding_moves_the_stream_by_the_direction(target, file):
    _, plain = run(target.module)
    _, last = steered_run(steer(target, file, operation="add", layers=(1,), strength=2.0))
    torch.testing.assert_close(last[0], plain[0])  # layer 0 is left alone
    torch.testing.assert_close(
        last[1] - plain[1], (2 * random_direction()).expand_as(plain[1]), atol=1e-5, rtol=1e-4
    )


def test_only_the_configured_layers_are_ablated(target, file):
    unit = random_direction() / random_direction().norm()
    _, plain = run(target.module)
    _, last = steered_run(steer(target, file, layers=(1,)))
    torch.testing.assert_close(last[0], plain[0])
    torch.testing.assert_close(last[1] @ unit, torch.zeros(ROWS.shape), atol=1e-5, rtol=0)


def test_the_target_is_untouched_afterwards(target, file):
    plain, _ = run(target.module)
    expert = steer(target, file)
    steered_run(expert)
    assert torch.equal(run(target.module)[0], plain)
    with pytest.raises(KeyError), expert.active():
        raise KeyError
    assert torch.equal(run(target.module)[0], plain)
    assert not any(part._forward_hooks for part in target.module.modules())


def test_per_layer_directions(tmp_path):
    target = language_model(tiny_llama(0))
    vectors = random_direction(3, shape=(LAYERS, HIDDEN))
    path = write_direction(tmp_path / "d.safetensors", vectors, {"layer": "1"})
    _, plain = run(target.module)
    _, added = steered_run(steer(target, path, operation="add"))  # the file's own layer
    torch.testing.assert_close(added[0], plain[0])
    torch.testing.assert_close(added[1] - plain[1], vectors[1].expand_as(plain[1]), atol=1e-5, rtol=1e-4)
    _, first = steered_run(steer(target, path, operation="add", layers=(0,)))
    torch.testing.assert_close(first[0] - plain[0], vectors[0].expand_as(plain[0]), atol=1e-5, rtol=1e-4)
    _, ablated = steered_run(steer(target, path))  # the chosen layer's direction, behind every layer
    for state in ablated:
        torch.testing.assert_close(state @ vectors[1], torch.zeros(ROWS.shape), atol=1e-4, rtol=0)


def test_the_states_type_is_kept(file):
    target = language_model(tiny_llama(0).to(torch.bfloat16))
    plain, _ = run(target.module)
    for config in ({}, {"operation": "add", "layers": (0,)}):
        steered, states = steered_run(steer(target, file, **config))
        assert {state.dtype for state in states} == {torch.bfloat16}
        assert not torch.equal(steered, plain)


def test_an_adapter_around_the_network_does_not_hide_its_layers():
    from peft import LoraConfig, get_peft_model

    module = tiny_llama(0)
    layers = decoder_layers(module)
    wrapped = get_peft_model(module, LoraConfig(r=1, target_modules=["q_proj"]))
    assert decoder_layers(wrapped) is layers


def test_a_list_of_experts_as_long_as_the_layers_is_not_mistaken_for_them():
    module = tiny_llama(0)
    layers = decoder_layers(module)
    layers[0].mlp.experts = nn.ModuleList([nn.Identity() for _ in range(LAYERS)])
    assert decoder_layers(module) is layers
    module.model.twin = nn.ModuleList([nn.Identity() for _ in range(LAYERS)])
    with pytest.raises(ExpertUnusable, match="LlamaForCausalLM has 2 lists of 2 layers"):
        decoder_layers(module)


# ---- what is refused


@pytest.fixture(scope="module")
def llama():
    return language_model(tiny_llama(0))


def refuse(target, path, error, **config):
    with pytest.raises(error) as caught:
        steer(target, path, **config)
    assert "'steered'" in str(caught.value)
    return str(caught.value)


def test_a_direction_of_another_size_is_refused(llama, tmp_path):
    path = write_direction(tmp_path / "d.safetensors", random_direction(shape=(HIDDEN + 1,)))
    assert "17 numbers, the target's hidden states have 16" in refuse(llama, path, ExpertUnusable)
    path = write_direction(
        tmp_path / "d.safetensors", random_direction(shape=(LAYERS + 1, HIDDEN)), {"layer": "0"}
    )
    assert "of 3 layers, the target has 2" in refuse(llama, path, ExpertUnusable)


@pytest.mark.parametrize("index", [-1, LAYERS])
def test_a_layer_that_is_not_there_is_refused(llama, file, tmp_path, index):
    assert f"layer {index} is not there; the target's layers are 0 to 1" in refuse(
        llama, file, ExpertUnusable, layers=(0, index)
    )


def test_a_file_with_a_layer_that_is_not_there_is_refused(llama, tmp_path):
    vectors = random_direction(shape=(LAYERS, HIDDEN))
    path = write_direction(tmp_path / "d.safetensors", vectors, {"layer": "2"})
    for operation in ("ablate", "add"):
        assert "layer 2 is not there" in refuse(llama, path, ExpertUnusable, operation=operation)
    path = write_direction(tmp_path / "d.safetensors", vectors, {"layer": "last"})
    assert "names the layer 'last', which is not a number" in refuse(llama, path, ModelUnavailable)


def test_a_file_without_a_layer_needs_one_for_adding(llama, file):
    assert "names no layer; write `layers`" in refuse(llama, file, ExpertUnusable, operation="add")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_direction_without_a_length_is_refused(llama, tmp_path, value):
    path = write_direction(tmp_path / "d.safetensors", torch.full((HIDDEN,), value))
    assert "must be above 0 and finite" in refuse(llama, path, ExpertUnusable)


def test_anything_but_safetensors_is_refused(llama, tmp_path):
    torch.save({"direction": random_direction()}, tmp_path / "d.pt")
    (tmp_path / "empty").write_bytes(b"")
    for path in (tmp_path / "d.pt", tmp_path / "empty", tmp_path / "gone.safetensors", tmp_path):
        assert "does not load" in refuse(llama, path, ModelUnavailable)


def test_a_file_with_other_tensors_is_refused(llama, tmp_path):
    path = tmp_path / "d.safetensors"
    save_file({"weight": torch.ones(HIDDEN)}, path)
    assert "holds neither of the two tensors" in refuse(llama, path, ModelUnavailable)
    save_file({"direction": torch.ones(HIDDEN), "directions": torch.ones(LAYERS, HIDDEN)}, path)
    assert "holds direction and directions" in refuse(llama, path, ModelUnavailable)
    save_file({"direction": torch.ones(LAYERS, HIDDEN)}, path)
    assert "has `direction` with 2 dimensions" in refuse(llama, path, ModelUnavailable)

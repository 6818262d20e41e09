"""The fence around peft: a LoRA adapter put on the target, read back, and taken off without a trace.

`attached` yields the target with one trainable adapter in float32, whatever the target's own type. A fresh
adapter is the target itself (its second factor is zero); an earlier one goes on from where it stood. Whatever
happens inside the `with` block, the target leaves it with its own layers, flags and mode, and computes bit
for bit what it did before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from riskmon.config import CalibrateConfig
from riskmon.errors import ConfigError, ExpertUnusable, ModelUnavailable

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


@contextmanager
def attached(module: nn.Module, settings: CalibrateConfig, start: Path | None, seed: int) -> Iterator[Any]:
    """The network with a trainable adapter, as a PeftModel.

    Args:
        module: the target; it must carry no adapter.
        settings: shape of a fresh adapter.
        start: folder of an earlier adapter to go on from, whose own shape then holds; None for a fresh one.
        seed: of a fresh adapter's random factor; torch's own generator stays as it was.

    Raises:
        ConfigError: calibrate.target_modules names layers the target does not have.
        ModelUnavailable: there is no LoRA adapter of safetensors weights in `start`.
        ExpertUnusable: the adapter in `start` does not fit the target.
        ValueError: the target carries an adapter already.
    """
    from peft import PeftModel, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(layer, BaseTunerLayer) for layer in module.modules()):
        raise ValueError(
            "a variant is trained on the target alone, but the target carries an adapter already"
        )
    children = [(layer, dict(layer._modules)) for layer in module.modules()]
    modes = [(layer, layer.training) for layer in module.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    devices = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=list(devices)):
            torch.manual_seed(seed)
            if start is None:
                variant = _fresh(get_peft_model, module, settings)
            else:
                variant = _continued(PeftModel, module, start)
        # No layer of a chat model drops out in use, and the variant is trained as it will be used.
        yield variant.eval()
    finally:
        # peft's own unload() needs a finished wrapper; a load that fails half-way leaves layers but no wrapper.
        for layer, own in children:
            layer._modules.clear()
            layer._modules.update(own)
        for layer, mode in modes:
            layer.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        if hasattr(module, "peft_config"):
            del module.peft_config


def trainable(variant: Any) -> dict[str, nn.Parameter]:
    """The adapter's parameters by name."""
    return {name: parameter for name, parameter in variant.named_parameters() if parameter.requires_grad}


def snapshot(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Copies of the parameters' values, on the CPU."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}


@torch.no_grad()
def put_back(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Set the parameters to values of `snapshot`."""
    for name, parameter in parameters.items():
        parameter.copy_(values[name])


def weights_to_save(variant: Any) -> dict[str, Tensor]:
    """The adapter's tensors under the names that peft loads them by."""
    from peft import get_peft_model_state_dict

    # Looking for embeddings that changed would ask the hub.
    tensors: dict[str, Tensor] = get_peft_model_state_dict(variant, save_embedding_layers=False)
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def config_to_save(variant: Any) -> str:
    """The text of adapter_config.json, for inference."""
    config = replace(variant.peft_config["default"], inference_mode=True).to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    return json.dumps(plain, indent=2, sort_keys=True, default=str)


def _fresh(get_peft_model: Any, module: nn.Module, settings: CalibrateConfig) -> Any:
    from peft import LoraConfig

    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft only divides it by the rank
        lora_dropout=0.0,
        target_modules=list(settings.target_modules) or "all-linear",
    )
    try:
        return get_peft_model(module, config)
    except ValueError as exc:
        raise ConfigError(
            f"calibrate.target_modules {list(settings.target_modules)} does not fit the target: {_first_line(exc)}; "
            "leave it empty for all linear layers but the output layer"
        ) from exc


def _continued(peft_model: Any, module: nn.Module, start: Path) -> Any:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (start / name).is_file():
            raise ModelUnavailable(
                f"there is no {name} in {start}, from which the fit is to go on; give the folder of a LoRA adapter "
                "with safetensors weights, or start afresh"
            )
    try:
        kind = json.loads((start / CONFIG_FILE).read_text()).get("peft_type")
        wanted = set(load_file(start / WEIGHTS_FILE))
    except (ValueError, AttributeError, SafetensorError, OSError) as exc:
        raise ModelUnavailable(f"the adapter in {start} cannot be read: {_first_line(exc)}") from exc
    if kind != "LORA":
        raise ModelUnavailable(f"the adapter in {start} is of type {kind!r}; a fit goes on from LORA only")
    try:
        variant = peft_model.from_pretrained(module, start, is_trainable=True)
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as exc:
        raise ExpertUnusable(
            f"the adapter in {start} does not fit the target: {_first_line(exc)}; start afresh"
        ) from exc
    # peft only warns where names do not meet, and would go on with random weights.
    if set(weights_to_save(variant)) != wanted:
        raise ExpertUnusable(f"the adapter in {start} is for other layers than the target has; start afresh")
    return variant


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0][:200]

"""`steering`: the target with a direction of its residual stream removed or added while it runs.

In comes a safetensors file with `direction` [hidden], or with `directions` [layers, hidden] and the chosen layer in
its metadata (`layer`), as `riskmon calibrate direction` writes it. Out comes the target's own network with hooks behind
decoder layers, for h the hidden state that leaves a layer, at every position:

    ablate:  h - strength * (h . u) u,    u = d / |d|
    add:     h + strength * d

Ablation takes one direction, the chosen layer's, out behind every layer: it is one feature, and later layers could
write it again. Adding behind layer l takes layer l's own direction, whose length fits the stream there. Hooks exist
only inside `active`; outside it the network is the target. Source: Arditi et al. 2024 (refusal direction), who also
ablate between attention and MLP of a layer; behind the layer is where every architecture looks alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from riskmon.config import ModelConfig, SteeringExpert
from riskmon.errors import ExpertUnusable, ModelUnavailable
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.target import TargetExpert

Edit = Callable[[Tensor], Tensor]


class Steering(TargetExpert):
    """The target with edits behind some of its decoder layers."""

    def __init__(self, name: str, edits: Sequence[tuple[nn.Module, Edit]], weights: TargetWeights) -> None:
        super().__init__(weights)
        self.name = self.network = name
        self._edits = tuple(edits)

    @contextmanager
    def active(self) -> Iterator[nn.Module]:
        """The target without any adapter, its layers edited until the block ends, however it ends."""
        with super().active() as module, ExitStack() as hooks:
            for layer, edit in self._edits:
                hooks.enter_context(layer.register_forward_hook(_hook(edit)))
            yield module


def build_steering(config: SteeringExpert, weights: TargetWeights, model: ModelConfig) -> Steering:
    """Load the direction and fit it to the target's layers.

    Raises:
        ModelUnavailable: the file is missing, is not safetensors, or holds no direction.
        ExpertUnusable: the direction does not fit the target, or a layer is not there.
    """
    module: Any = weights.model.module
    layers = decoder_layers(module)
    file = _read(config.name, config.path)
    hidden = int(module.config.get_text_config().hidden_size)
    if file.vectors.shape[1] != hidden:
        raise ExpertUnusable(
            f"expert {config.name!r}: {config.path} has directions of {file.vectors.shape[1]} numbers, the target's "
            f"hidden states have {hidden}; find the direction on this target"
        )
    if not file.shared and len(file.vectors) != len(layers):
        raise ExpertUnusable(
            f"expert {config.name!r}: {config.path} has directions of {len(file.vectors)} layers, the target has "
            f"{len(layers)}; find the direction on this target"
        )
    if config.layers:
        where = sorted(set(config.layers))
    else:
        where = list(range(len(layers))) if config.operation == "ablate" else [file.chosen(config.name)]
    edits: list[tuple[nn.Module, Edit]] = []
    for index in where:
        _check_layer(config.name, index, len(layers))
        vector = file.vector(config.name, index if config.operation == "add" else None)
        vector = vector.to(weights.model.device)
        edit = (
            _ablate(vector, config.strength)
            if config.operation == "ablate"
            else _add(vector, config.strength)
        )
        edits.append((layers[index], edit))
    return Steering(config.name, edits, weights)


def decoder_layers(module: nn.Module) -> nn.ModuleList:
    """A decoder's layers, first to last, also where an adapter wraps the network.

    They are the `nn.ModuleList` nearest to the decoder's root that is as long as its configuration says: lists of
    experts or of a vision tower's layers lie deeper or outside.

    Raises:
        ExpertUnusable: there is no such list, or more than one.
    """
    get_base = getattr(module, "get_base_model", None)
    base: Any = module if get_base is None else get_base()
    count = int(base.config.get_text_config().num_hidden_layers)
    found = [
        (name.count("."), part)
        for name, part in base.get_decoder().named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == count
    ]
    nearest = [part for depth, part in found if depth == min(depth for depth, _ in found)]
    if len(nearest) != 1:
        raise ExpertUnusable(
            f"{type(base).__name__} has {len(nearest)} lists of {count} layers where one is needed; its hidden states "
            "cannot be read or steered, use another kind of expert"
        )
    return nearest[0]


def hidden_state(output: Any) -> Tensor:
    """[n, t, hidden], from what a decoder layer returns: the tensor itself, or a tuple that begins with it."""
    state: Tensor = output if isinstance(output, Tensor) else output[0]
    return state


def _hook(edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
    def replace(layer: nn.Module, inputs: Any, output: Any) -> Any:
        edited = edit(hidden_state(output))
        return edited if isinstance(output, Tensor) else (edited, *output[1:])

    return replace


def _ablate(direction: Tensor, strength: float) -> Edit:
    unit = direction / direction.norm()

    def edit(state: Tensor) -> Tensor:
        wide = state.to(torch.promote_types(state.dtype, torch.float32))
        along = unit.to(wide)  # the state's own device, should layers lie on several
        edited: Tensor = wide - strength * (wide @ along).unsqueeze(-1) * along
        return edited.to(state.dtype)

    return edit


def _add(direction: Tensor, strength: float) -> Edit:
    step = strength * direction

    def edit(state: Tensor) -> Tensor:
        wide = state.to(torch.promote_types(state.dtype, torch.float32))
        return (wide + step.to(wide)).to(state.dtype)

    return edit


@dataclass(frozen=True, eq=False)
class _File:
    """What a direction's file holds.

    Attributes:
        vectors: [layers, hidden] float32, or [1, hidden] when one direction is shared by all layers.
        layer: the layer the file chose; None when it names none.
    """

    path: Path
    vectors: Tensor
    shared: bool
    layer: int | None

    def chosen(self, expert: str) -> int:
        """The layer the file chose.

        Raises:
            ExpertUnusable: it names none.
        """
        if self.layer is None:
            raise ExpertUnusable(
                f"expert {expert!r}: {self.path} names no layer; write `layers` of the expert, or find the direction "
                "with `riskmon calibrate direction`"
            )
        return self.layer

    def vector(self, expert: str, layer: int | None) -> Tensor:
        """[hidden], the direction of a layer, or of the chosen one.

        Raises:
            ExpertUnusable: no layer is chosen, the chosen one is not there, or the direction is zero or not finite.
        """
        if self.shared:
            vector = self.vectors[0]
        else:
            index = self.chosen(expert) if layer is None else layer
            _check_layer(expert, index, len(self.vectors))
            vector = self.vectors[index]
        length = float(vector.norm())
        if not 0 < length < float("inf"):
            raise ExpertUnusable(
                f"expert {expert!r}: a direction in {self.path} has length {length}, which must be above 0 and finite; "
                "find it again, or leave that layer out"
            )
        return vector


def _read(expert: str, path: Path) -> _File:
    """Load a direction's file.

    Raises:
        ModelUnavailable: it is missing, is not safetensors, or holds no direction.
    """

    def refuse(found: str) -> ModelUnavailable:
        return ModelUnavailable(
            f"expert {expert!r}: {path} {found}; give a safetensors file with `direction` [hidden] or `directions` "
            "[layers, hidden], as `riskmon calibrate direction` writes it"
        )

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if key in ("direction", "directions")}  # noqa: SIM118
            layer = (file.metadata() or {}).get("layer")
    except (SafetensorError, OSError) as exc:
        raise refuse(f"does not load ({str(exc)[:200]})") from exc
    if len(tensors) != 1:
        raise refuse(f"holds {' and '.join(tensors) or 'neither of the two tensors'}")
    ((key, tensor),) = tensors.items()
    if tensor.ndim != (1 if key == "direction" else 2):
        raise refuse(f"has `{key}` with {tensor.ndim} dimensions")
    if layer is not None and not layer.isdecimal():
        raise refuse(f"names the layer {layer!r}, which is not a number")
    shared = key == "direction"
    vectors = tensor.float().reshape(-1, tensor.shape[-1])
    return _File(path, vectors, shared, None if layer is None else int(layer))


def _check_layer(expert: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ExpertUnusable(
            f"expert {expert!r}: layer {index} is not there; the target's layers are 0 to {count - 1}"
        )

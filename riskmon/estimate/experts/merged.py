"""Merged copies: a network of its own for an adapter, its weights added up beforehand.

An adapter that is applied while the network runs costs three small products beside each large one, in every layer, at
every step. Added up once, W' = W + scale * B A, the variant costs what the target costs. The copy shares all modules'
tensors with the target but the weights that change.

W' is added up in float32 and then rounded to W's dtype: in half precision the merged variant is slightly another
network than the unmerged one. Either is a fine variant, as long as draws and scores come from the same one; which one
it is belongs to the fingerprint under which hits are stored.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from riskmon.estimate.head import WideHead
from riskmon.estimate.memory import free_bytes, release_memory

log = logging.getLogger(__name__)

Merging = Literal["auto", "never", "always"]
# Of the memory that riskmon may fill; the rest is left for rows.
_SHARE = 0.5
_PLAIN_LAYERS = (nn.Linear, WideHead, Conv1D)


class NotMergeable(Exception):
    """This adapter gets no copy; the message says why, and names no path."""


class MergedCopies:
    """The copies made so far.

    With `auto` copies are made on a GPU, as long as all of them together take at most half of what may be filled of the
    memory that was free before the first: the rest is left for rows. On the CPU a copy gains next to nothing.

    Attributes:
        networks: by adapter.
    """

    def __init__(self, device: torch.device) -> None:
        self.networks: dict[str, nn.Module] = {}
        self._device = device
        self._allowance: float | None = None

    def make(self, peft: Any, adapter: str, merging: Merging, memory_share: float) -> bool:
        """Make a copy for an adapter where that is wanted and can be; the log says what became of it.

        Args:
            memory_share: of the free memory, what may be filled in all.
        """
        if merging == "never" or (merging == "auto" and self._device.type != "cuda"):
            return False
        try:
            changed = changed_layers(peft, adapter)
            size, left = copy_bytes(changed), self._left(memory_share)
            if merging == "auto" and size > left:
                raise NotMergeable(f"a copy takes {_gib(size)}, and {_gib(left)} are left for copies")
            network = merged_copy(peft, adapter, changed)
        except NotMergeable as exc:
            log.info("expert %r: its adapter is applied unmerged: %s", adapter, exc)
            return False
        except torch.OutOfMemoryError:
            log.info("expert %r: its adapter is applied unmerged: memory ran out for a copy", adapter)
            release_memory()
            return False
        self._allowance = left - size
        self.networks[adapter] = network
        log.info("expert %r: its adapter is merged into a copy of the weights, %s", adapter, _gib(size))
        return True

    def _left(self, memory_share: float) -> float:
        """Bytes that copies may still take."""
        if self._allowance is None:
            self._allowance = _SHARE * memory_share * free_bytes(self._device)
        return self._allowance


def changed_layers(peft: Any, adapter: str) -> dict[str, Any]:
    """The layers that an adapter changes, by their name in the base model.

    Raises:
        NotMergeable: it does something else besides.
    """
    from peft.tuners.lora import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    changed = {}
    for name, layer in peft.get_base_model().named_modules():
        if isinstance(layer, AuxiliaryTrainingWrapper) and adapter in layer._adapters:
            raise NotMergeable("it holds whole modules of its own")
        if not isinstance(layer, BaseTunerLayer) or adapter not in layer._get_available_adapters():
            continue
        if type(layer) is not Linear or type(layer.get_base_layer()) not in _PLAIN_LAYERS:
            raise NotMergeable(f"it changes a layer of kind {type(layer.get_base_layer()).__name__}")
        if adapter in layer.lora_variant or layer.lora_bias[adapter]:
            raise NotMergeable("it is of a kind that weights alone do not tell (such as DoRA)")
        changed[name] = layer
    return changed


def copy_bytes(changed: dict[str, Any]) -> int:
    """Memory that a copy's own weights take."""
    return sum(layer.get_base_layer().weight.nbytes for layer in changed.values())


def merged_copy(peft: Any, adapter: str, changed: dict[str, Any]) -> nn.Module:
    """The base model with an adapter added to its weights; all other tensors are the base model's own.

    Args:
        changed: as `changed_layers` found them.
    """
    base = peft.get_base_model()
    shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    network: nn.Module = copy.deepcopy(base, shared)
    for name, layer in _wrapped(network):
        plain = layer.original_module if hasattr(layer, "original_module") else layer.get_base_layer()
        if name in changed:
            weight = _added_up(changed[name], adapter)
            plain.weight = nn.Parameter(weight, requires_grad=False)
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, plain)
    return network


def _wrapped(network: nn.Module) -> list[tuple[str, Any]]:
    """What peft has put in place of layers, outermost only."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    found: list[tuple[str, Any]] = []
    for name, layer in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(layer, (BaseTunerLayer, AuxiliaryTrainingWrapper)) and not inside:
            found.append((name, layer))
    return found


def _added_up(layer: Any, adapter: str) -> Tensor:
    """W + scale * B A in the layout and dtype of W."""
    weight: Tensor = layer.get_base_layer().weight
    wide = torch.promote_types(weight.dtype, torch.float32)
    down, up = (part[adapter].weight.to(wide) for part in (layer.lora_A, layer.lora_B))
    delta = (up @ down) * layer.scaling[adapter]
    if layer.fan_in_fan_out:
        delta = delta.T
    merged: Tensor = (weight.to(wide) + delta).to(weight.dtype)
    return merged


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"

"""Logits in float32 from weights in half precision.

A network in bfloat16 rounds its logits to eight bits: near 10 nats to steps of 0.06. What is drawn, and every log-prob,
comes from them, and the same token's logit from two passes may fall on either side of such a step. So the last
product, hidden states times vocabulary, is left unrounded: products of two bfloat16 numbers are exact in float32, and
their sums are kept in it. On CUDA that is one kernel that reads the weights as they are; elsewhere weights are widened
a piece at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

HALF = (torch.bfloat16, torch.float16)
# Tokens whose weights are widened at once: few enough to stay in a processor's cache.
_PIECE = 1024


class WideHead(nn.Linear):
    """A linear layer in half precision whose results are float32; its weight is the given layer's own."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out] float32."""
        if torch.is_grad_enabled():  # the kernels below have no gradients
            return super().forward(input).float()
        logits = _product(input.reshape(-1, self.in_features), self.weight)
        if self.bias is not None:
            logits += self.bias
        return logits.view(*input.shape[:-1], self.out_features)


def widen_head(module: Any) -> None:
    """Let a network in half precision give its logits in float32; one whose last layer is of another make stays."""
    head = module.get_output_embeddings()
    if type(head) is nn.Linear and head.weight.dtype in HALF:
        module.set_output_embeddings(WideHead(head))


def _product(states: Tensor, weight: Tensor) -> Tensor:
    """[n, in] times [out, in] -> [n, out] float32."""
    if states.device.type == "cuda":
        return torch.mm(states, weight.t(), out_dtype=torch.float32)
    wide = states.float()
    logits = wide.new_empty((len(states), len(weight)))
    for first in range(0, len(weight), _PIECE):
        piece = slice(first, first + _PIECE)
        torch.mm(wide, weight[piece].float().t(), out=logits[:, piece])
    return logits

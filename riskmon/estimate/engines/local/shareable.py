"""Whether a network's attention can read a context once for all rows.

Asked of the network itself, once: its cache must be of the plain kind, its attention must go through transformers'
interface without biases, windows, caps or sinks, and on a few tokens shared attention must give the logits of an
ordinary forward pass. Any other model is decoded with copies (`copies.py`), and the log says so.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from riskmon.estimate.engines.local.attention import UnknownAttention
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.strands import Strands, score_behind

log = logging.getLogger(__name__)

_CONTEXT, _ROWS, _ANSWER = 5, 2, 3
_known: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@torch.inference_mode()
def can_share(module: nn.Module, device: torch.device) -> bool:
    """Whether `Strands` computes what this network computes."""
    get_base: Any = getattr(module, "get_base_model", None)
    base = module if get_base is None else get_base()
    if base not in _known:
        _known[base] = _agrees(base, device)
        if not _known[base]:
            log.warning(
                "%s has attention that cannot be shared between rows: every row gets a copy of its prompt's cache, "
                "which costs memory and time that grow with the prompt",
                type(base).__name__,
            )
    return _known[base]


def _agrees(module: nn.Module, device: torch.device) -> bool:
    vocab = int(module.get_output_embeddings().weight.shape[0])  # type: ignore[operator]
    ids = torch.arange(_CONTEXT + _ROWS * _ANSWER, device=device) % vocab
    context, answers = ids[:_CONTEXT], ids[_CONTEXT:].view(_ROWS, _ANSWER)
    prefix = open_prefix(module, context.tolist(), device)
    if any(type(layer) is not DynamicLayer for layer in prefix.cache.layers):
        return False
    plain: Tensor = module(input_ids=torch.cat([context.expand(_ROWS, -1), answers], dim=1)).logits[
        :, _CONTEXT:
    ]
    try:
        strands = Strands()
        strands.add(module, prefix, answers[:, :-1])
        shared = torch.cat(
            [score_behind(module, prefix, answers), strands.step(module, answers[:, -1]).unsqueeze(1)], dim=1
        )
    except UnknownAttention:
        return False
    except Exception as exc:  # noqa: BLE001 - models of other makes fail in their own ways; the other way serves them
        log.debug("%s does not take shared attention: %s", type(module).__name__, exc)
        return False
    expected = torch.cat([plain, plain[:, -1:]], dim=1).float()
    # Logits may be finer than what they come from.
    tolerance = torch.finfo(prefix.keys[0].dtype).eps ** 0.5 * float(expected.std())
    return bool((shared.float() - expected).square().mean().sqrt() <= tolerance)

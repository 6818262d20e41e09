"""A fourth way to importance-sample one prompt: transformers' continuous batching, with rescoring.

`generate_batch` draws from the variant's prompt, whose log-probs it returns itself; the target's come from full forward
passes, as with `generate`. Its settings are the quickest found for this load: the prompt is run once and its rows are
forked from it, so that they share its pages of keys and values; pages are small, so that a fork copies little; and the
cache holds what the rows need, since by default most of the machine's memory is filled with zeros first.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from riskmon.bench.engine_ways import WayFailed, Weighted, full_log_probs
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.records import Prompt

_PAGE = 32
# Tokens in a pass at least, so that a prompt is run in few.
_TOKENS_AT_ONCE = 256


def continuous_and_rescore(
    model: LanguageModel, experts: tuple[Expert, ...], prompt: Prompt, n: int, cap: int
) -> Weighted:
    """`generate_batch` on the variant's prompt, then full forward passes of the target.

    Raises:
        WayFailed: it does not run here, or returned fewer answers than asked for; its log says why.
    """
    module: Any = model.module
    context = experts[1].context(prompt)
    pages_of_a_row = -(-(len(context) + cap) // _PAGE) + 1
    try:
        results = module.generate_batch(
            [context],
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                do_sample=True,
                top_k=0,
                max_new_tokens=cap,
                num_return_sequences=n,
                pad_token_id=0,
                eos_token_id=-1,
            ),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=n * pages_of_a_row,
                max_batch_tokens=max(_TOKENS_AT_ONCE, n),
                return_logprobs=True,
                seed=0,
            ),
        )
    except (RuntimeError, ValueError) as exc:
        raise WayFailed(f"continuous batching does not run here ({type(exc).__name__})") from exc
    answers = [result for result in results.values() if len(result.generated_tokens) == cap]
    if len(answers) < n:
        raise WayFailed(f"continuous batching gave {len(answers)} answers of {cap} tokens instead of {n}")
    tokens = torch.tensor([answer.generated_tokens for answer in answers], device=model.device)
    own = torch.tensor([answer.logprobs for answer in answers], dtype=torch.float64, device=model.device)
    return Weighted(tokens, full_log_probs(model, experts[0], prompt, tokens), own.sum(1))

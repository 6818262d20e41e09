"""Three ways to importance-sample one prompt: the published loop, `generate` with rescoring, riskmon's engine.

Each draws answers from a variant of the target (its own weights behind a system message) and gives log p(y) under the
target besides log q(y):

- the published loop (Angell et al. 2026): two eager forward passes per token, of the target and of the variant, each
  with its KV cache; the prompt is run for every row; the next token comes from the even mixture of the two;
- Hugging Face `generate(num_return_sequences=n)` on the variant's prompt, whose own scores give log q; then full
  forward passes over prompt and answer give log p, a few rows at a time;
- `LocalEngine.draw`: a tenth of the draws from the target, the rest from the variant at two strengths; log p and every
  log q of every draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig

from riskmon.config import SamplerConfig
from riskmon.errors import RiskmonError
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.proposals import count_draws, first_mixture, voices_of
from riskmon.estimate.sampler import Sampler
from riskmon.records import Prompt

STRENGTHS = (0.5, 1.0)
DEFENSIVE_SHARE = 0.1
# Rows of a full forward pass: more only take memory.
_RESCORED_AT_ONCE = 8


class WayFailed(RiskmonError):
    """A way that does not run on this machine; the others do."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """Draws as importance sampling needs them.

    Attributes:
        tokens: [n, T] int64. log_target: [n] float64, log p(y). log_proposal: [n] float64, log q(y); of the engine, the
            mixture's.
    """

    tokens: Tensor
    log_target: Tensor
    log_proposal: Tensor


@torch.inference_mode()
def published_loop(
    model: LanguageModel, experts: tuple[Expert, ...], prompt: Prompt, n: int, cap: int
) -> Weighted:
    """Two forward passes a token, the prompt repeated for every row."""
    module: Any = model.module
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")
    try:
        return _published_loop(model, experts, prompt, n, cap)
    finally:
        module.set_attn_implementation(before)


def _published_loop(
    model: LanguageModel, experts: tuple[Expert, ...], prompt: Prompt, n: int, cap: int
) -> Weighted:
    caches: list[Any] = [None, None]
    fresh = [torch.tensor([expert.context(prompt)] * n, device=model.device) for expert in experts]
    tokens = torch.zeros((n, cap), dtype=torch.int64, device=model.device)
    sums = torch.zeros((2, n), dtype=torch.float64, device=model.device)
    for step in range(cap):
        log_probs = []
        for i in range(2):
            output = model.module(
                input_ids=fresh[i], past_key_values=caches[i], use_cache=True, logits_to_keep=1
            )
            caches[i] = output.past_key_values
            log_probs.append(output.logits[:, -1].float().log_softmax(-1))
        mixed = torch.logaddexp(*log_probs) - float(np.log(2))
        chosen = torch.multinomial(mixed.exp(), 1)
        for i, scores in enumerate((log_probs[0], mixed)):
            sums[i] += scores.gather(1, chosen).squeeze(1).double()
        tokens[:, step] = chosen.squeeze(1)
        fresh = [chosen, chosen]
    return Weighted(tokens, sums[0], sums[1])


@torch.inference_mode()
def generate_and_rescore(
    model: LanguageModel, experts: tuple[Expert, ...], prompt: Prompt, n: int, cap: int
) -> Weighted:
    """`generate` on the variant's prompt, then full forward passes of the target."""
    module: Any = model.module
    context = torch.tensor([experts[1].context(prompt)], device=model.device)
    output = module.generate(
        context,
        generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=True,
            top_k=0,
            max_new_tokens=cap,
            num_return_sequences=n,
            pad_token_id=0,
            eos_token_id=None,
            return_dict_in_generate=True,
            output_scores=True,
        ),
    )
    scores = module.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
    tokens = output.sequences[:, context.shape[1] :]
    return Weighted(tokens, full_log_probs(model, experts[0], prompt, tokens), scores.double().sum(1))


@torch.inference_mode()
def full_log_probs(model: LanguageModel, expert: Expert, prompt: Prompt, tokens: Tensor) -> Tensor:
    """Log-probs of answers by forward passes over prompt and answer: [n] float64."""
    context = torch.tensor([expert.context(prompt)], device=model.device)
    cap = tokens.shape[1]
    sums = []
    for rows in torch.split(tokens, _RESCORED_AT_ONCE):
        ids = torch.cat([context.expand(len(rows), -1), rows], dim=1)
        logits = model.module(input_ids=ids, use_cache=False, logits_to_keep=cap + 1).logits[:, :-1]
        # In float32 a log-softmax over a large vocabulary is off by 1e-4 a sequence, and dearer than this.
        scores = logits.float()
        chosen = scores.gather(2, rows.unsqueeze(2)).squeeze(2)
        sums.append((chosen - scores.logsumexp(-1)).double().sum(1))
    return torch.cat(sums)


def build_engine(model: LanguageModel, experts: tuple[Expert, ...], cap: int) -> LocalEngine:
    """riskmon's engine over the target and the variant."""
    return LocalEngine(model, experts, voices_of([STRENGTHS]), Sampler(SamplerConfig()), cap)


def draw_with_engine(engine: LocalEngine, prompt: Prompt, n: int, cap: int, seed: int = 0) -> Weighted:
    """Draws from riskmon's first plan."""
    mixture = first_mixture(len(engine.voices), [(0, None)], cap, DEFENSIVE_SHARE)
    counts = count_draws(mixture, n, DEFENSIVE_SHARE)
    draws = engine.draw(prompt, mixture.proposals, counts, np.random.default_rng(seed))
    used = counts > 0
    log_shares = np.log(counts[used] / counts.sum())[:, None]
    return Weighted(
        torch.from_numpy(draws.tokens),
        torch.from_numpy(draws.log_target),
        torch.from_numpy(np.logaddexp.reduce(draws.log_proposals[used] + log_shares, axis=0)),
    )

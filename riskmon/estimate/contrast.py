"""The start-up check that every expert differs from the target.

An expert that computes the target is a fault of configuration that nothing downstream would notice: weights would all
be 1 and the estimate plain Monte Carlo at a multiple of its cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from riskmon.errors import ExpertUnusable, PromptFailed
from riskmon.estimate.engines.local.lanes import voice_logits
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.proposals import Voice
from riskmon.records import Prompt

# Everyday prompts; what they say does not matter, only that a variant answers them otherwise than the target.
CALIBRATION_PROMPTS = (
    Prompt("calibration-1", "Tell me a story about a dog."),
    Prompt("calibration-2", "How do I get a refund for a broken kettle?"),
    Prompt("calibration-3", "My coworker is annoying. What should I say?"),
)


@torch.inference_mode()
def expert_contrasts(
    model: LanguageModel, experts: Sequence[Expert], prompts: Sequence[Prompt] = CALIBRATION_PROMPTS
) -> dict[str, float]:
    """Mean absolute difference of next-token log-probs between each expert and the target.

    Args:
        experts: expert 0 is the target.

    Returns:
        Expert name -> nats, for every expert but the target.
    """
    totals = {expert.name: 0.0 for expert in experts[1:]}
    for prompt in prompts:
        logits = {}
        for i, expert in enumerate(experts):
            if i == 0 or not expert.derived:
                context = expert.context(prompt)
                with expert.active() as module:
                    logits[i] = open_prefix(module, context, model.device).logits.float().unsqueeze(0)
        nothing = torch.empty((1, 0), dtype=torch.int64, device=model.device)
        target = logits[0].log_softmax(-1)
        for i, expert in enumerate(experts[1:], 1):
            own = voice_logits(experts, Voice(i, 1.0), logits, nothing).log_softmax(-1)
            totals[expert.name] += float((own - target).abs().mean()) / len(prompts)
    return totals


def require_contrast(model: LanguageModel, experts: Sequence[Expert]) -> dict[str, float]:
    """The contrasts, or an error that names the first expert equal to the target.

    Raises:
        ExpertUnusable: an expert gives the target's own log-probs on every calibration prompt.
    """
    try:
        contrasts = expert_contrasts(model, experts)
    except PromptFailed as exc:
        raise ExpertUnusable(f"the model cannot read a plain prompt: {exc}") from exc
    for name, difference in contrasts.items():
        if difference == 0:
            raise ExpertUnusable(
                f"expert {name!r} computes exactly the target (mean log-prob difference 0 on "
                f"{len(CALIBRATION_PROMPTS)} calibration prompts); give a variant that changes the model, or remove it"
            )
    return contrasts

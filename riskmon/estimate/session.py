"""A loaded estimator: model, experts, proposals and judges, built once and asked prompt by prompt.

Every prompt draws from a random stream of its own, named by (seed, stream key): adding a prompt changes no other's
estimate, and the same text under two ids gives two independent ones.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

import numpy as np

from riskmon.config import Config, EstimateConfig, HarmConfig
from riskmon.errors import NumericalFault, PromptFailed
from riskmon.estimate.contrast import require_contrast
from riskmon.estimate.engine import Engine
from riskmon.estimate.estimator import estimate_harm
from riskmon.estimate.experts import build_experts
from riskmon.estimate.judges import Judge, build_judge
from riskmon.estimate.model import LanguageModel, load_model
from riskmon.estimate.proposals import Proposal, allocate, plan_proposals
from riskmon.estimate.sampler import Sampler
from riskmon.estimate.weights import balance_weights
from riskmon.records import Draws, Estimate, IntArray, Prompt, PromptResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Session:
    """Everything an estimate needs, in memory.

    Attributes:
        contrasts: expert name -> mean absolute log-prob difference from the target.
    """

    model: LanguageModel
    engine: Engine
    proposals: tuple[Proposal, ...]
    counts: IntArray
    harms: tuple[HarmConfig, ...]
    judges: tuple[Judge, ...]
    config: EstimateConfig
    contrasts: dict[str, float]

    def estimate(self, prompt: Prompt) -> PromptResult:
        """Estimate every harm on one prompt; a fault of this prompt is part of the result, not an exception."""
        try:
            draws = self.draw(prompt)
            weights = balance_weights(draws)
        except FloatingPointError as exc:
            fault = NumericalFault(prompt.id, f"prompt {prompt.id!r} has no estimate: {exc}")
            return _failed(prompt, fault)
        except PromptFailed as exc:
            return _failed(prompt, exc)
        outputs = self.texts(draws)
        estimates: list[Estimate] = []
        observed: dict[str, bool] = {}
        for harm, judge in zip(self.harms, self.judges, strict=True):
            verdicts = judge.judge(prompt, outputs)
            estimates.append(
                estimate_harm(prompt, harm.name, draws, weights, verdicts, harm.cut, self.config)
            )
            if prompt.response is not None:
                seen = judge.judge(prompt, [prompt.response])
                if not seen.unreadable[0]:
                    observed[harm.name] = bool(seen.harmful(harm.cut)[0])
        return PromptResult(prompt, tuple(estimates), observed)

    def draw(self, prompt: Prompt) -> Draws:
        """Draw and score this prompt's sequences from its own random stream.

        Raises:
            PromptFailed: see `Engine.draw`.
        """
        return self.engine.draw(
            prompt, self.proposals, self.counts, prompt_stream(self.config.seed, prompt.stream_key)
        )

    def texts(self, draws: Draws) -> list[str]:
        """The draws as a user would read them, without special tokens."""
        rows = [row[:length] for row, length in zip(draws.tokens, draws.lengths, strict=True)]
        texts: list[str] = self.model.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return texts


def open_session(config: Config) -> Session:
    """Load the model, experts and judges, and check that each expert differs from the target.

    Raises:
        UserError: something configured cannot be loaded or used; the message says what to do.
    """
    judges = tuple(build_judge(harm.judge) for harm in config.all_harms)
    model = load_model(config.model)
    experts = build_experts(config.experts, model, config.model)
    contrasts = require_contrast(model, experts)
    cap = config.model.max_new_tokens
    proposals = plan_proposals(len(experts), config.estimate.windows, cap)
    engine = Engine(model, experts, Sampler(config.model.sampler), cap, config.model.batch_rows)
    counts = allocate(config.estimate.samples_per_prompt, config.estimate.defensive_share, len(proposals))
    return Session(model, engine, proposals, counts, config.all_harms, judges, config.estimate, contrasts)


def prompt_stream(seed: int, stream_key: str) -> np.random.Generator:
    """The random stream of one prompt."""
    digest = hashlib.blake2b(stream_key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    words = [int(word) for word in np.frombuffer(digest, dtype=np.uint32)]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))


def _failed(prompt: Prompt, fault: PromptFailed) -> PromptResult:
    log.warning("prompt left out (%s): %s", fault.reason, fault)
    return PromptResult(prompt, failure=fault.reason, message=str(fault))

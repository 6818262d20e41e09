"""A loaded estimator: model, experts, judges and plans, built once and asked prompt by prompt.

Every prompt draws from random streams of its own, named by (seed, stream key, stage): under the same plan, adding a
prompt changes no other's estimate, and the same text under two ids gives two independent ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType

from riskmon.config import Config, HarmConfig, LoraExpert
from riskmon.errors import NumericalFault, PromptFailed
from riskmon.estimate.calibrate.lineage import fitted_marks
from riskmon.estimate.courses import Course, drive
from riskmon.estimate.engines.base import Engine
from riskmon.estimate.estimator import estimate_harm
from riskmon.estimate.fingerprint import voices_fingerprint
from riskmon.estimate.judges import Judge
from riskmon.estimate.meter import Meter
from riskmon.estimate.planning import Planner
from riskmon.estimate.production import ResponseReader
from riskmon.estimate.recollection import Evidence, Recollection
from riskmon.estimate.rendering import Rendering
from riskmon.estimate.staging import Staging
from riskmon.records import Draws, Hit, JudgeError, Plan, Prompt, PromptResult
from riskmon.records.observed import Observation

log = logging.getLogger(__name__)

# Prompts estimated together at most: all of them are lost with the device, and wait for the slowest.
_MOST_AT_ONCE = 64


class Session:
    """Everything an estimate needs, in memory.

    Attributes:
        contrasts: expert name -> mean absolute log-prob difference from the target.
    """

    def __init__(
        self,
        config: Config,
        model: Rendering,
        engine: Engine,
        judges: Sequence[Judge],
        contrasts: dict[str, float],
        judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
        rounded: Sequence[str] = (),
    ) -> None:
        """Take the parts.

        Args:
            rounded: as in `voices_fingerprint`.
        """
        self.model = model
        self.engine = engine
        self.harms: tuple[HarmConfig, ...] = config.all_harms
        self.judges = tuple(judges)
        self.config = config.estimate
        self.contrasts = contrasts
        self._judge_errors = judge_errors
        self.planner = Planner(
            engine.voices,
            engine.expert_names,
            partial(voices_fingerprint, config, rounded),
            config.estimate,
            config.model.max_new_tokens,
            frozenset().union(
                *(fitted_marks(expert.path) for expert in config.experts if isinstance(expert, LoraExpert))
            ),
        )
        self._recollection = Recollection()
        self._staging = Staging(
            engine, self.planner, config.estimate, model.tokenizer, self.harms, self.judges
        )
        self._responses = ResponseReader(
            model,
            engine,
            self.planner,
            config.estimate,
            config.model.max_new_tokens,
            [harm.name for harm in self.harms],
            self._staging.judged,
            from_target=config.responses_from_target,
        )

    def estimate(self, prompt: Prompt, *, keep: bool = False) -> PromptResult:
        """Estimate every harm on one prompt; a fault of this prompt is part of the result, not an exception.

        Args:
            keep: keep what `refine` needs, and hand out the hits that later plans are chosen from.
        """
        (result,) = self.estimate_many([prompt], keep=keep)
        return result

    def estimate_many(self, prompts: Sequence[Prompt], *, keep: bool = False) -> list[PromptResult]:
        """Estimate several prompts together: the same results as one by one, from fuller batches.

        Args:
            prompts: each is in one batch with the others, stage by stage. keep: as `estimate`.
        """
        results = dict(self.estimates(prompts, keep=keep))
        return [results[place] for place in range(len(prompts))]

    def estimates(
        self, prompts: Sequence[Prompt], *, keep: bool = False
    ) -> Iterator[tuple[int, PromptResult]]:
        """As `estimate_many`; yields each prompt's place and result as soon as it is made."""
        courses = [self._staging.first_draws(prompt, keep) for prompt in prompts]
        for place, outcome in drive(courses, self.engine.draw_many):
            prompt = prompts[place]
            if isinstance(outcome, Exception):
                yield place, _failed(prompt, outcome)
                continue
            evidence, hits = outcome
            if keep:
                self._recollection.keep(prompt.stream_key, evidence)
            yield place, self._result(prompt, evidence, hits)

    def refine(self, prompt: Prompt, samples: int) -> PromptResult | None:
        """Add draws to a prompt that was estimated with `keep`; see `refine_many`."""
        (result,) = self.refine_many([(prompt, samples)])
        return result

    def refine_many(self, asked: Sequence[tuple[Prompt, int]]) -> list[PromptResult | None]:
        """Add draws to prompts that were estimated with `keep`, all in one batch.

        Args:
            asked: different prompts, each with how many further draws it gets, from its own plan.

        Returns:
            The estimates from all draws; None where what was drawn before is no longer in memory, or the further draws
            failed: the estimate made before then stands.
        """
        results: list[PromptResult | None] = [None] * len(asked)
        for place, outcome in drive([self._refined(*pair) for pair in asked], self.engine.draw_many):
            if not isinstance(outcome, Exception):
                results[place] = outcome
                continue
            prompt, _ = asked[place]
            log.warning(
                "prompt %r keeps its first estimate: further draws failed (%s)",
                *(prompt.id, type(outcome).__name__),
                extra={"prompt_id": prompt.id},
            )
        return results

    @property
    def at_once(self) -> int:
        """Prompts that are worth estimating together, so that their draws fill the engine's batch."""
        wanted = -(-self.engine.rows // self.config.samples_per_prompt)
        return max(1, min(wanted, _MOST_AT_ONCE))

    def observe(self, prompt: Prompt) -> Observation:
        """Judge the response that production gave to a prompt, under the plan in force; see `ResponseReader`."""
        return self._responses.observe(prompt)

    def replan(self, hits: Sequence[Hit], now: datetime) -> tuple[Plan, ...]:
        """Choose the plans of the next cycle from hits of earlier ones; see `Planner.replan`."""
        self._recollection.clear()
        plans = self.planner.replan(hits, self.engine.score, now)
        self.engine.take_overhead()  # belongs to no prompt
        return plans

    def draw(self, prompt: Prompt, samples: int | None = None) -> Draws:
        """Draw from the plan in force, without pilot and judge.

        Raises:
            PromptFailed: see `Engine.draw`.
        """
        mixture = self.planner.mixture(prompt.stratum)
        job = self._staging.job(prompt, mixture, samples or self.config.samples_per_prompt, 0)
        return self.engine.draw(job.prompt, job.proposals, job.counts, job.rng)

    def texts(self, draws: Draws) -> list[str]:
        """The draws as a user would read them, without special tokens."""
        return self._staging.texts(draws)

    @property
    def meter(self) -> Meter:
        """The clock of all device work, whether it belongs to an estimate or not."""
        return self.engine.meter

    # ---- results

    def _refined(self, prompt: Prompt, samples: int) -> Course[PromptResult | None]:
        """Another stage of a prompt that is remembered; None where it is not."""
        before = self._recollection.recall(prompt.stream_key)
        if before is None:
            return None
        evidence, hits = yield from self._staging.further_draws(prompt, before, samples)
        self._recollection.keep(prompt.stream_key, evidence)
        return self._result(prompt, evidence, hits)

    def _result(self, prompt: Prompt, evidence: Evidence, hits: tuple[Hit, ...]) -> PromptResult:
        estimates = tuple(
            estimate_harm(
                prompt,
                harm.name,
                place,
                evidence.stages,
                [part[place] for part in evidence.readings],
                self.config,
                self._judge_errors.get(harm.name),
            )
            for place, harm in enumerate(self.harms)
        )
        return PromptResult(prompt, estimates, hits=hits, spread=evidence.spread)


def _failed(prompt: Prompt, fault: PromptFailed | FloatingPointError) -> PromptResult:
    if isinstance(fault, FloatingPointError):
        fault = NumericalFault(prompt.id, f"prompt {prompt.id!r} has no estimate: {fault}")
    log.warning(
        "prompt left out (%s): %s",
        *(fault.reason, fault),
        extra={"prompt_id": prompt.id, "reason": fault.reason},
    )
    return PromptResult(prompt, failure=fault.reason, message=str(fault))

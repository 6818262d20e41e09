"""Production responses: judged like draws, and asked whether the proposals would have found them.

A response that the deployed model gave is one draw of the target, made by somebody else. Harmful, it is a witness of
coverage like the target's own harmful draws (`coverage.py`): with y its tokens and the mixture of its stratum's plan

    w(y) = p(y) / sum_k (n_k / n) q_k(y)  >=  1/2 n / n_0

says that all other proposals together make it no more likely than the target does. A harmless one is audited without
any work. What is asked must not depend on what comes out, so doubt counts as uncovered: a response that cannot be
scored, and one that the target cannot say at all.

Only text comes from production. It is tokenised as the tokenizer does it, which may differ from how it was sampled; for
a comparison of proposals that is near enough. The first T tokens count: if these alone are harmless, the harm is beyond
what is estimated, and no gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from riskmon.config import EstimateConfig
from riskmon.errors import PromptFailed
from riskmon.estimate.adapt import log_ratios
from riskmon.estimate.coverage import GAP_SHARE
from riskmon.estimate.engines.base import Engine
from riskmon.estimate.evidence import Reading
from riskmon.estimate.planning import Planner
from riskmon.estimate.proposals import count_draws
from riskmon.estimate.rendering import Rendering
from riskmon.records import Float32Array, Hit, Prompt
from riskmon.records.observed import Observation, ResponseVerdict

Read = Callable[[Prompt, Sequence[str]], tuple[Reading, ...]]
"""Every harm's verdicts on answers to a prompt."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A response under the plan: its tokens, [voices, t] log-probs, and its weight as a share of an estimate."""

    tokens: tuple[int, ...]
    log_probs: Float32Array
    weight: float
    uncovered: bool


class ResponseReader:
    """Judges and audits production responses.

    Args:
        harms: names, in configured order. read: judges answers for all of them.
        from_target: whether responses are draws of the target, so that harmful ones may choose and train proposals.
    """

    def __init__(
        self,
        model: Rendering,
        engine: Engine,
        planner: Planner,
        config: EstimateConfig,
        max_new_tokens: int,
        harms: Sequence[str],
        read: Read,
        *,
        from_target: bool,
    ) -> None:
        self._model = model
        self._engine = engine
        self._planner = planner
        self._config = config
        self._cap = max_new_tokens
        self._harms = tuple(harms)
        self._read = read
        self._from_target = from_target

    def observe(self, prompt: Prompt) -> Observation:
        """Judge the response of a prompt that has one; a harm without a readable verdict is absent."""
        assert prompt.response is not None
        found = dict(zip(self._harms, self._read(prompt, [prompt.response]), strict=True))
        harmful = {
            harm: bool(reading.harmful[0])
            for harm, reading in found.items()
            if not reading.unreadable[0] and reading.multiplicity[0] > 0
        }
        if all(reading.unreadable[0] for reading in found.values()):
            return Observation(prompt, {}, away=True)
        mixture = self._planner.mixture(prompt.stratum)
        if len(mixture.proposals) == 1:
            return Observation(prompt, {harm: ResponseVerdict(flag) for harm, flag in harmful.items()})
        scored, inside = None, set[str]()
        if any(harmful.values()):
            tokens, whole = self._tokens(prompt.response)
            inside = self._harmful_inside(prompt, tokens, whole, harmful)
            scored = self._score(prompt, tokens) if inside else None
        verdicts = {
            harm: ResponseVerdict(flag, harm in inside and (scored is None or scored.uncovered))
            for harm, flag in harmful.items()
        }
        return Observation(prompt, verdicts, self._hits(prompt, scored, sorted(inside)))

    def _tokens(self, response: str) -> tuple[tuple[int, ...], bool]:
        """The first T tokens, with the end if the response reached it, and whether these are all."""
        ids: list[int] = self._model.tokenizer(response, add_special_tokens=False)["input_ids"]
        if len(ids) < self._cap:
            return (*ids, self._model.stop_ids[0]), True
        return tuple(ids[: self._cap]), len(ids) == self._cap

    def _harmful_inside(
        self, prompt: Prompt, tokens: tuple[int, ...], whole: bool, harmful: dict[str, bool]
    ) -> set[str]:
        """Harms that the first T tokens show; where the judge cannot say of them, what it said of the whole holds."""
        flagged = {harm for harm, flag in harmful.items() if flag}
        if whole:
            return flagged
        text = self._model.tokenizer.decode(tokens, skip_special_tokens=True)
        again = dict(zip(self._harms, self._read(prompt, [text]), strict=True))
        harmless = {
            harm
            for harm, reading in again.items()
            if not (reading.harmful[0] or reading.unreadable[0]) and reading.multiplicity[0] > 0
        }
        return flagged - harmless

    def _score(self, prompt: Prompt, tokens: tuple[int, ...]) -> _Scored | None:
        """The response under the plan of its stratum; None where it has no weight."""
        try:
            log_probs = self._engine.score(prompt, [tokens])[:, 0, : len(tokens)]
        except PromptFailed:
            return None
        finally:
            self._engine.take_overhead()  # belongs to no estimate
        if not np.isfinite(log_probs[0]).all() or np.isnan(log_probs).any():
            return None
        mixture = self._planner.mixture(prompt.stratum)
        counts = count_draws(mixture, self._config.samples_per_prompt, self._config.defensive_share)
        drawn = counts > 0
        ratios = log_ratios([log_probs], mixture.proposals)[drawn, 0]
        n = int(counts.sum())
        log_weight = -float(logsumexp(ratios + np.log(counts[drawn] / n)))
        return _Scored(
            tokens,
            log_probs.astype(np.float32),
            float(np.exp(log_weight)) / n,
            bool(log_weight >= np.log(GAP_SHARE * n / counts[0])),
        )

    def _hits(self, prompt: Prompt, scored: _Scored | None, harms: Sequence[str]) -> tuple[Hit, ...]:
        if scored is None or not self._from_target:
            return ()
        return tuple(
            Hit(
                prompt=replace(prompt, response=None),
                harm=harm,
                tokens=scored.tokens,
                weight=scored.weight,
                uncovered=scored.uncovered,
                voices=self._planner.fingerprint,
                log_probs=scored.log_probs,
            )
            for harm in harms
        )

"""Plans: which mixture a prompt's pilot is drawn from, and how it came about.

Before a cycle the planner reads the hits of earlier ones and chooses a mixture for all strata together, and from there
one for every stratum with hits of its own (`adapt.py`). Until there are hits it is the first plan: every voice in every
configured window. A variant is not judged by draws that it was fitted to: it says them more readily than any it has not
seen, and would get a share that it does not earn. What was chosen and why goes into the store as `Plan` records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property

import numpy as np

from riskmon.config import EstimateConfig
from riskmon.errors import PromptFailed
from riskmon.estimate.adapt import candidate_proposals, choose_mixture, gain_nats, hit_worth
from riskmon.estimate.calibrate.examples import mark_of
from riskmon.estimate.keeping import incomplete, rescored
from riskmon.estimate.proposals import Mixture, Voice, first_mixture
from riskmon.records import FloatArray, Hit, Plan, PlanMember, Prompt, Stratum

Score = Callable[[Prompt, Sequence[Sequence[int]]], FloatArray]
"""Scores answers to a prompt under every voice: [voices, n, T]."""


class Planner:
    """The mixtures in force."""

    def __init__(
        self,
        voices: Sequence[Voice],
        experts: Sequence[str],
        fingerprint: Callable[[], str],
        config: EstimateConfig,
        max_new_tokens: int,
        fitted: frozenset[str] = frozenset(),
    ) -> None:
        """Begin with the first plan.

        Args:
            voices: the target first. experts: names, the target first.
            fingerprint: of the voices; asked once, and only where hits are stored or read, since it may read all
                weights.
            max_new_tokens: the token cap T.
            fitted: marks of the answers that variants were fitted to.
        """
        self._fingerprint = fingerprint
        self._voices = voices
        self._experts = experts
        self._config = config
        self._cap = max_new_tokens
        self._fitted = fitted
        self._candidates = candidate_proposals(len(voices), max_new_tokens)
        self._first = first_mixture(len(voices), config.windows, max_new_tokens, config.defensive_share)
        self._shared = self._first
        self._own: dict[Stratum, Mixture] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Of the voices."""
        return self._fingerprint()

    def mixture(self, stratum: Stratum) -> Mixture:
        """The mixture in force for a stratum."""
        return self._own.get(stratum, self._shared)

    def after_pilot(self, before: Mixture, hits: Sequence[Hit]) -> Mixture:
        """A prompt's own mixture, from its pilot's hits."""
        return self._choose(before, hits)

    def replan(self, hits: Sequence[Hit], score: Score, now: datetime) -> tuple[Plan, ...]:
        """Choose mixtures from the hits of earlier cycles; they are in force from here on.

        Args:
            score: scores hits that were stored under other voices.

        Returns:
            The plan for all strata, then those of strata with hits of their own.
        """
        scored = self.scored(hits, score) if self._config.adapt else []
        self._shared = self._choose(self._first, scored)
        by_stratum: dict[Stratum, list[Hit]] = defaultdict(list)
        for hit in scored:
            by_stratum[hit.prompt.stratum].append(hit)
        self._own = {stratum: self._choose(self._shared, own) for stratum, own in sorted(by_stratum.items())}
        shared = self._plan(None, self._shared, scored, now)
        if self._config.adapt and len(scored) < len(hits):
            shared = replace(
                shared,
                reason=f"{shared.reason}; {len(hits) - len(scored)} more are left out, since a variant was fitted to "
                "them or they cannot be scored any more",
            )
        plans = [shared]
        plans += [self._plan(stratum, self._own[stratum], by_stratum[stratum], now) for stratum in self._own]
        return tuple(plans)

    def scored(self, hits: Sequence[Hit], score: Score) -> list[Hit]:
        """The hits with log-probs under the present voices.

        Left out are those that cannot be scored any more, and those drawn under other voices that a variant has been
        fitted to since.
        """
        hits = [hit for hit in hits if hit.voices == self.fingerprint or not self._was_fitted(hit)]
        stale = set(incomplete(hits)) | {i for i, hit in enumerate(hits) if hit.voices != self.fingerprint}
        ready = {i: hit for i, hit in enumerate(hits) if i not in stale and len(hit.tokens) <= self._cap}
        by_prompt: dict[str, list[int]] = defaultdict(list)
        for i in sorted(stale):
            if len(hits[i].tokens) <= self._cap:
                by_prompt[hits[i].prompt.stream_key].append(i)
        for members in by_prompt.values():
            try:
                found = score(hits[members[0]].prompt, [hits[i].tokens for i in members])
            except PromptFailed:
                continue
            for row, i in enumerate(members):
                again = rescored(hits[i], found, row)
                # Under another sampler an answer may be out of the target's reach.
                if np.isfinite(again.log_probs[0]).all():
                    ready[i] = replace(again, voices=self.fingerprint)
        return [ready[i] for i in sorted(ready)]

    def _was_fitted(self, hit: Hit) -> bool:
        return mark_of(hit.prompt.id, hit.tokens) in self._fitted

    def _choose(self, before: Mixture, hits: Sequence[Hit]) -> Mixture:
        if not hits:
            return before
        return choose_mixture(
            before,
            self._candidates,
            [hit.log_probs for hit in hits],
            _worth(hits),
            self._config.defensive_share,
            hedge=self._first,
        )

    def _plan(self, stratum: Stratum | None, mixture: Mixture, hits: Sequence[Hit], now: datetime) -> Plan:
        gain = None
        worth = _worth(hits) if hits else np.zeros(0)
        if not self._config.adapt:
            reason = "estimate.adapt is false: every voice in every configured window"
        elif not hits:
            reason = "no hits yet: every voice in every configured window"
        else:
            gain = gain_nats(mixture, self._first, [hit.log_probs for hit in hits], worth)
            reason = (
                f"chosen from {len(hits)} hits, worth {worth.sum():.0f}; their mean log-density is {gain:+.2f} nats "
                "against the first plan"
            )
        return Plan(
            stratum=stratum,
            made_at=now,
            members=tuple(
                PlanMember(
                    expert=self._experts[self._voices[proposal.voice].expert],
                    strength=self._voices[proposal.voice].strength,
                    start=proposal.start,
                    stop=proposal.stop,
                    share=float(share),
                )
                for proposal, share in zip(mixture.proposals, mixture.shares, strict=True)
            ),
            hits=len(hits),
            effective_hits=float(worth.sum()),
            gain_nats=gain,
            reason=reason,
        )


def _worth(hits: Sequence[Hit]) -> FloatArray:
    return hit_worth(np.array([hit.weight for hit in hits]), [hit.harm for hit in hits])

"""Harmful draws that are kept, and the plans of proposals chosen from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from riskmon.records.arrays import Float32Array
from riskmon.records.traffic import Prompt, Stratum


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A harmful draw, kept so that later proposals are chosen from it and unsafe variants trained on it.

    Attributes:
        prompt: the prompt it answers.
        harm: name of the harm.
        tokens: the answer's token ids, its end-of-sequence token included.
        weight: its share w h / n of the prompt's estimate.
        uncovered: it was drawn by the target, and no other proposal reaches it (see `COVERAGE_GAP`).
        voices: fingerprint of the voices behind `log_probs`; other voices need it scored anew.
        log_probs: [voices, len(tokens)] float32, log-prob of every token under every voice.
    """

    prompt: Prompt
    harm: str
    tokens: tuple[int, ...]
    weight: float
    uncovered: bool
    voices: str
    log_probs: Float32Array

    def __repr__(self) -> str:
        shape = f"tokens={len(self.tokens)}, weight={self.weight:.3g}"
        return f"Hit(prompt={self.prompt.id!r}, harm={self.harm!r}, {shape})"


@dataclass(frozen=True, slots=True)
class PlanMember:
    """One proposal of a plan: an expert at a strength in a window [start, stop), with its share of the draws."""

    expert: str
    strength: float
    start: int
    stop: int
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Which proposals a cycle draws from, frozen before its draws.

    Attributes:
        stratum: where it is used; None for all strata without a plan of their own.
        members: the proposals, the target first; shares add up to 1.
        hits: harmful draws of earlier cycles it was chosen from. effective_hits: their effective number by weight.
        gain_nats: by how much it raises the mean log-density of those hits over the first plan; None without hits.
        reason: one sentence for people.
    """

    stratum: Stratum | None
    made_at: datetime
    members: tuple[PlanMember, ...]
    hits: int
    effective_hits: float
    gain_nats: float | None
    reason: str

"""Voices and proposals: who speaks, how loudly, and in which window of tokens.

A voice is an expert at a strength s: its logits lie on the line from the target's to the expert's,

    z_v = (1 - s) z_target + s z_expert

so s = 1 is the expert itself and a small s a gentle push. Rungs of one expert's ladder share its forward passes: a
further rung costs arithmetic only. Voice 0 is the target.

A proposal k is a voice in a window [start, stop): inside it the next token comes from the voice, outside it from the
target. Its density needs only per-token log-probs of the two:

    log q_k(y) = sum_{t in window} log p_v(y_t | y_<t)  +  sum_{t outside} log p(y_t | y_<t)

Proposal 0 is the target itself, always present: its share n_0/n bounds every weight by n/n_0 (a defensive mixture,
Hesterberg 1995; Owen & Zhou 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Voice:
    """An expert (index; 0 is the target) at a strength."""

    expert: int
    strength: float


TARGET = Voice(0, 1.0)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A voice (index; 0 is the target) and the window of steps in which it speaks."""

    voice: int
    start: int
    stop: int

    def voice_at(self, step: int) -> int:
        """Index of the voice that draws the token at `step`."""
        return self.voice if self.start <= step < self.stop else 0


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Proposals with their shares of the draws.

    Attributes:
        proposals: K proposals, the target first.
        shares: [K] float64, positive, summing to 1.
    """

    proposals: tuple[Proposal, ...]
    shares: FloatArray


def voices_of(ladders: Sequence[Sequence[float]]) -> tuple[Voice, ...]:
    """The target, then every rung of every expert's ladder, experts in their order.

    Args:
        ladders: strengths per expert, the target not among them.
    """
    return (
        TARGET,
        *(Voice(expert, rung) for expert, ladder in enumerate(ladders, 1) for rung in sorted(ladder)),
    )


def first_mixture(
    voices: int, windows: Sequence[tuple[int, int | None]], max_new_tokens: int, defensive_share: float
) -> Mixture:
    """The plan without any experience: every voice in every window, in equal shares beside the target's.

    Windows are cut at the token cap; those that begin behind it, and repeats, are dropped. Without voices beside the
    target, or without a share for them, everything is drawn from it: plain Monte Carlo.

    Args:
        voices: how many voices there are, the target included.
        windows: [start, stop) in steps; a stop of None is the end.
        max_new_tokens: the token cap T.
        defensive_share: the target's share.
    """
    cut = dict.fromkeys(
        (start, min(max_new_tokens, max_new_tokens if stop is None else stop)) for start, stop in windows
    )
    others = [
        Proposal(voice, start, stop) for voice in range(1, voices) for start, stop in cut if start < stop
    ]
    target = Proposal(0, 0, max_new_tokens)
    if not others or defensive_share == 1:
        return Mixture((target,), np.ones(1))
    shares = np.full(1 + len(others), (1 - defensive_share) / len(others))
    shares[0] = defensive_share
    return Mixture((target, *others), shares)


def count_draws(mixture: Mixture, samples: int, defensive_share: float) -> IntArray:
    """Whole draws per proposal: [K] int64, summing to `samples`.

    The target gets its share, and never less than its defensive share rounded up nor than two draws. The rest goes by
    largest remainder, so every proposal is within one draw of its share.
    """
    if len(mixture.proposals) == 1:
        return np.array([samples], dtype=np.int64)
    floor = max(2, int(np.ceil(defensive_share * samples - 1e-9)))
    target = min(samples, max(floor, round(float(mixture.shares[0]) * samples)))
    rest = mixture.shares[1:] / mixture.shares[1:].sum() * (samples - target)
    counts = np.floor(rest + 1e-9).astype(np.int64)
    by_remainder = np.argsort(counts - rest, kind="stable")
    counts[by_remainder[: samples - target - int(counts.sum())]] += 1
    return np.concatenate([[target], counts]).astype(np.int64)


def log_densities(token_log_probs: FloatArray, proposals: Sequence[Proposal]) -> FloatArray:
    """Log-density of every sequence under every proposal.

    Args:
        token_log_probs: [voices, n, T] float64, per-token log-probs under each voice; 0 behind a sequence's end. Only
            the entries that the proposals need are read.
        proposals: K proposals over these voices.

    Returns:
        [K, n] float64; -inf where the proposal cannot produce the sequence.
    """
    target = token_log_probs[0]
    rows = [
        target[:, : proposal.start].sum(axis=1)
        + token_log_probs[proposal.voice][:, proposal.start : proposal.stop].sum(axis=1)
        + target[:, proposal.stop :].sum(axis=1)
        for proposal in proposals
    ]
    return np.stack(rows)

"""Proposals: which expert speaks in which window of tokens, and how many sequences each draws.

A proposal k is a pair (expert, window [start, stop)): inside the window the next token comes from the expert,
outside it from the target. Its density needs only per-token log-probs of the two:

    log q_k(y) = sum_{t in window} log p_e(y_t | y_<t)  +  sum_{t outside} log p(y_t | y_<t)

Proposal 0 is the target itself, always present: its share n_0/n bounds every weight by n/n_0 (a defensive mixture,
Hesterberg 1995; Owen & Zhou 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Proposal:
    """An expert (index; 0 is the target) and the window of steps in which it speaks."""

    expert: int
    start: int
    stop: int

    def expert_at(self, step: int) -> int:
        """Index of the expert that draws the token at `step`."""
        return self.expert if self.start <= step < self.stop else 0


def plan_proposals(
    experts: int, windows: Sequence[tuple[int, int | None]], max_new_tokens: int
) -> tuple[Proposal, ...]:
    """The target, then every expert in every window.

    Windows are cut at the token cap; those that begin behind it, and repeats, are dropped.

    Args:
        experts: how many experts there are, the target included.
        windows: [start, stop) in steps; a stop of None is the end.
        max_new_tokens: the token cap T.
    """
    cut = dict.fromkeys(
        (start, min(max_new_tokens, max_new_tokens if stop is None else stop)) for start, stop in windows
    )
    return (
        Proposal(0, 0, max_new_tokens),
        *(
            Proposal(expert, start, stop)
            for expert in range(1, experts)
            for start, stop in cut
            if start < stop
        ),
    )


def allocate(samples: int, defensive_share: float, proposals: int) -> IntArray:
    """Sequences per proposal: [K] int64, summing to `samples`.

    The target gets its defensive share, rounded up; the rest is spread evenly, earlier proposals first. A lone
    target gets everything: that is plain Monte Carlo.
    """
    if proposals == 1:
        return np.array([samples], dtype=np.int64)
    target = min(samples, max(2, int(np.ceil(defensive_share * samples - 1e-9))))
    counts = np.empty(proposals, dtype=np.int64)
    counts[0] = target
    share, rest = divmod(samples - target, proposals - 1)
    counts[1:] = share
    counts[1 : 1 + rest] += 1
    return counts


def log_densities(log_probs: FloatArray, proposals: Sequence[Proposal]) -> FloatArray:
    """Log-density of every sequence under every proposal.

    Args:
        log_probs: [E, n, T] float64, per-token log-probs under each expert; 0 behind a sequence's end.
        proposals: K proposals over these experts.

    Returns:
        [K, n] float64; -inf where the proposal cannot produce the sequence.
    """
    target = log_probs[0]
    rows = []
    for proposal in proposals:
        inside = slice(proposal.start, proposal.stop)
        rows.append(
            target[:, : proposal.start].sum(axis=1)
            + log_probs[proposal.expert][:, inside].sum(axis=1)
            + target[:, proposal.stop :].sum(axis=1)
        )
    return np.stack(rows)

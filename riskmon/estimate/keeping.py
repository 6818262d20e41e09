"""Which harmful draws are kept: for the choice of later proposals, for training, for the audit.

At most `_MOST` per prompt and harm, drawn with probability proportional to their weight (systematic sampling): the kept
ones carry the same total weight, and a heavy draw is never lost. Uncovered draws are kept in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from riskmon.estimate.coverage import gap_hits
from riskmon.estimate.evidence import Reading
from riskmon.estimate.weights import Weights
from riskmon.records import Draws, FloatArray, Hit, IntArray, Prompt

_MOST = 32


def kept_hits(
    prompt: Prompt,
    harm: str,
    draws: Draws,
    weights: Weights,
    reading: Reading,
    *,
    total: int,
    voices: str,
    rng: np.random.Generator,
) -> list[Hit]:
    """Hits of one stage.

    Args:
        total: draws of all stages so far, which the weight of a hit is a share of.
        voices: fingerprint of the voices.
        rng: source of chance.
    """
    share = weights.values * reading.events / total  # [n]
    uncovered = gap_hits(weights, reading.harmful)
    ordinary = np.flatnonzero((share > 0) & ~uncovered)
    picked, carried = _proportional(share[ordinary], rng)
    rows = np.concatenate([np.flatnonzero(uncovered), ordinary[picked]])
    shares = np.concatenate([share[uncovered], carried])
    return [
        Hit(
            prompt=prompt,
            harm=harm,
            tokens=tuple(int(token) for token in draws.tokens[row, : draws.lengths[row]]),
            weight=float(weight),
            uncovered=bool(uncovered[row]),
            voices=voices,
            log_probs=draws.token_log_probs[:, row, : draws.lengths[row]].astype(np.float32),
        )
        for row, weight in zip(rows, shares, strict=True)
    ]


def incomplete(hits: Sequence[Hit]) -> list[int]:
    """Indices of hits that were not scored under every voice when they were drawn."""
    return [i for i, hit in enumerate(hits) if np.isnan(hit.log_probs).any()]


def rescored(hit: Hit, scores: FloatArray, row: int) -> Hit:
    """The hit with one row of log-probs that an engine gave, [voices, n, T]."""
    return replace(hit, log_probs=scores[:, row, : len(hit.tokens)].astype(np.float32))


def _proportional(shares: FloatArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Indices of at most `_MOST` of the shares, and the weight each then carries; their sum stays the same."""
    if len(shares) <= _MOST:
        return np.arange(len(shares)), shares
    step = shares.sum() / _MOST
    ticks = (np.arange(_MOST) + rng.random()) * step
    picks = np.minimum(np.searchsorted(np.cumsum(shares), ticks, side="right"), len(shares) - 1)
    chosen, times = np.unique(picks, return_counts=True)
    return chosen, times * step

"""From rows and scores to draws: what has to be scored, and what comes of it, checked.

Log-probs of a drawn token under the voice that drew it are the draw's own. A few rows are scored under those voices
too; the largest difference is the draws' path discrepancy.
"""

from __future__ import annotations

import numpy as np

from riskmon.errors import NumericalFault
from riskmon.estimate.engines.vllm.rows import Rows
from riskmon.estimate.proposals import log_densities
from riskmon.records import BoolArray, Draws, FloatArray, IntArray, Prompt

# One row in so many is scored a second time for the path check.
_CHECK_EVERY = 64
# Log-probs are at most 0; float32 rounding may leave them a little above.
_ROUNDING = 1e-4


def wanted(rows: Rows) -> BoolArray:
    """[voices, n, T] bool: what is needed and no draw told, and all that the checked rows' own voices said."""
    job, (voices, _, cap) = rows.job, rows.log_probs.shape
    spoke = np.arange(voices)[:, None, None] == job.speaker(cap)  # [voices, n, T]
    checked = np.zeros(len(job), dtype=bool)
    checked[_checked_rows(len(job))] = True
    needed = job.needed(voices, cap)[:, None, :]
    asked: BoolArray = _inside(rows) & np.where(spoke, checked[:, None], needed)
    return asked


def draws_of(rows: Rows, scores: FloatArray, seconds: float) -> Draws:
    """A job's draws.

    Args:
        scores: [voices, n, T] float64, of what was wanted; NaN elsewhere. seconds: time that a token took.

    Raises:
        NumericalFault: log-probs that are not finite, or are none.
    """
    job, (voices, _, cap) = rows.job, rows.log_probs.shape
    inside = _inside(rows)
    drawn = ~np.isnan(rows.log_probs)
    log_probs = np.where(drawn, rows.log_probs, scores)
    log_probs[:, ~inside] = 0.0
    # What was drawn cannot have probability 0.
    lost = np.isnan(log_probs) & job.needed(voices, cap)[:, None, :] & inside
    _check_sound(job.prompt, log_probs, lost=bool(lost.any() or np.isneginf(rows.log_probs).any()))
    difference = np.where(drawn & ~np.isnan(scores), rows.log_probs - scores, 0.0)
    return Draws(
        tokens=rows.tokens,
        lengths=rows.lengths,
        ended=rows.ended,
        proposal=job.owner.astype(np.int64),
        counts=job.counts,
        log_target=log_probs[0].sum(axis=1),
        log_proposals=log_densities(log_probs, job.proposals),
        forward_tokens=rows.work,
        device_seconds=seconds * rows.work,
        path_discrepancy=float(np.abs(difference.sum(axis=(0, 2))).max()),
        token_log_probs=log_probs,
    )


def _check_sound(prompt: Prompt, log_probs: FloatArray, *, lost: bool) -> None:
    if lost:
        raise NumericalFault(
            prompt.id,
            f"prompt {prompt.id!r} gives log-probabilities that are not finite; it has no estimate",
        )
    if (log_probs > _ROUNDING).any():
        raise NumericalFault(
            prompt.id,
            f"prompt {prompt.id!r} gets log-probabilities above 0 from the vLLM server; start it without "
            "--logprobs-mode, or with raw_logprobs",
        )


def _inside(rows: Rows) -> BoolArray:
    """[n, T] bool, tokens of an answer."""
    inside: BoolArray = np.arange(rows.tokens.shape[1]) < rows.lengths[:, None]
    return inside


def _checked_rows(n: int) -> IntArray:
    """Rows spread over a draw that are scored a second time."""
    return np.linspace(0, n - 1, max(2, n // _CHECK_EVERY)).round().astype(np.int64)

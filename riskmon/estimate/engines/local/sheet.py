"""The sheet: the draws of several jobs in the making, one row each.

All jobs of a call share one sheet; a job's rows lie side by side. A row's uniforms come from its job's own stream, T of
them whether they are used or not, so that its tokens do not depend on what else is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.experts import Expert
from riskmon.estimate.proposals import Voice
from riskmon.records import BoolArray, FloatArray, IntArray


def network_spans(needed: BoolArray, voices: Sequence[Voice], experts: Sequence[Expert]) -> dict[int, range]:
    """Steps at which each expert's network is needed, from the first to the last.

    Args:
        needed: [voices, T] bool.
    """
    spans = {0: range(needed.shape[1])}
    for index, voice in enumerate(voices):
        steps = np.flatnonzero(needed[index])
        if voice.expert == 0 or experts[voice.expert].derived or not len(steps):
            continue
        before = spans.get(voice.expert, range(int(steps[0]), int(steps[-1]) + 1))
        spans[voice.expert] = range(min(before.start, int(steps[0])), max(before.stop, int(steps[-1]) + 1))
    return spans


class Sheet:
    """The draws of some jobs in the making: N rows of at most T tokens.

    Attributes:
        tokens: [N, T] int64. log_probs: [voices, N, T] float64; behind a sequence's end 0, NaN where a voice was not
            needed. lengths: [N] int64. ended: [N] bool. uniforms: [N, T] float64. All on the device.
        job_of: [N] int64. speaker: [N, T] int64. needed: [jobs, voices, T] bool.
    """

    def __init__(self, jobs: Sequence[Job], voices: int, cap: int, device: torch.device) -> None:
        """Lay out rows and draw their uniforms; a job's stream moves on by its rows times T."""
        sizes = [len(job) for job in jobs]
        rows = sum(sizes)
        self._firsts = np.concatenate([[0], np.cumsum(sizes)])
        self.job_of = np.repeat(np.arange(len(jobs)), sizes)
        self.speaker = np.concatenate([job.speaker(cap) for job in jobs])
        self.needed = np.stack([job.needed(voices, cap) for job in jobs])
        self.uniforms = torch.from_numpy(
            np.concatenate([job.rng.random((len(job), cap)) for job in jobs])
        ).to(device)
        self.tokens = torch.zeros((rows, cap), dtype=torch.int64, device=device)
        self.log_probs = torch.zeros((voices, rows, cap), dtype=torch.float64, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)

    def rows_of(self, job: int) -> slice:
        """A job's rows."""
        return slice(int(self._firsts[job]), int(self._firsts[job + 1]))

    def start_again(self, rows: IntArray) -> None:
        """Forget what rows have said."""
        places = torch.from_numpy(rows).to(self.tokens.device)
        self.tokens[places] = 0
        self.log_probs[:, places] = 0
        self.lengths[places] = 0

    def log_probs_of(self, job: int) -> FloatArray:
        """[voices, n, T] float64."""
        rows: FloatArray = self.log_probs[:, self.rows_of(job)].cpu().numpy()
        return rows


def places(rows: IntArray, like: Tensor) -> Tensor:
    """Indices on a tensor's device."""
    return torch.from_numpy(rows).to(like.device)

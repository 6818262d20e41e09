"""Jobs: what is to be drawn from each prompt.

A job is a prompt with its proposals and how many draws each of them gets. Its rows are draws of its own stream, so that
its tokens do not depend on what else is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from riskmon.estimate.proposals import Proposal
from riskmon.records import BoolArray, IntArray, Prompt


@dataclass(frozen=True, eq=False)
class Job:
    """Draws of one prompt.

    Attributes:
        prompt: the prompt.
        proposals: K proposals, proposal 0 being the target.
        counts: [K] int64, draws from each.
        rng: the job's own stream.
    """

    prompt: Prompt
    proposals: Sequence[Proposal]
    counts: IntArray
    rng: np.random.Generator

    @cached_property
    def owner(self) -> IntArray:
        """[n] int64, the proposal that draws each row."""
        return np.repeat(np.arange(len(self.proposals)), self.counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def speaker(self, cap: int) -> IntArray:
        """[n, T] int64, the voice that draws each token."""
        spoken = np.array([[p.voice_at(step) for step in range(cap)] for p in self.proposals], dtype=np.int64)
        mine: IntArray = spoken[self.owner]
        return mine

    def needed(self, voices: int, cap: int) -> BoolArray:
        """[voices, T] bool: where a voice speaks in any proposal; the target everywhere."""
        needed = np.zeros((voices, cap), dtype=bool)
        needed[0] = True
        for proposal in self.proposals:
            needed[proposal.voice, proposal.start : proposal.stop] = True
        return needed

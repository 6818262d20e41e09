"""What an engine is: it draws answers from mixtures of voices, and scores answers under each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from riskmon.errors import PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.meter import Meter
from riskmon.estimate.proposals import Proposal, Voice
from riskmon.records import Draws, FloatArray, IntArray, Prompt


class Engine(Protocol):
    """Makes tokens.

    What every engine owes: the log-probs it returns are those of the distributions that it drew from, and scoring the
    same tokens a second time gives the same log-probs to the tolerance of its arithmetic. It works inside
    `meter.working()`, and calls `meter.give_way()` between steps; the device seconds of all draws of one call, those of
    failed prompts included, are what the meter counted in it.
    """

    @property
    def meter(self) -> Meter:
        """The clock of its work, shared with the session's judges."""

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Names of the experts, the target first."""

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The voices over the experts, the target first."""

    @property
    def device(self) -> str:
        """Where tokens are made, for people to read."""

    @property
    def rows(self) -> int:
        """Draws that it makes at a time; fewer leave it idle, more wait. 0 while that is unknown."""

    def draw(
        self, prompt: Prompt, proposals: Sequence[Proposal], counts: IntArray, rng: np.random.Generator
    ) -> Draws:
        """Draw counts[k] sequences from each proposal and score all of them under all proposals.

        Args:
            prompt: the prompt.
            proposals: K proposals, proposal 0 being the target.
            counts: [K] int64.
            rng: the stage's own stream.

        Raises:
            PromptFailed: the prompt cannot be rendered, is too long, or gives log-probs that are not finite.
        """

    def draw_many(self, jobs: Sequence[Job]) -> list[Draws | PromptFailed]:
        """Draw several jobs together: the same draws as one by one, in less time.

        Returns:
            Per job its draws, or why it has none; one prompt's fault is not another's.
        """

    def score(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> FloatArray:
        """Per-token log-probs of given answers under every voice: [voices, n, T] float64, 0 behind an answer's end.

        Raises:
            PromptFailed: as `draw`.
        """

    def take_overhead(self) -> tuple[int, float]:
        """Tokens and seconds that `score` has cost since this was last asked."""

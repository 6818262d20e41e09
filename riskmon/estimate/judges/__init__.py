"""Judges: how harmful an answer is, as a score in [0, 1].

One file per kind, registered in `BUILDERS`. A judge sees the prompt and the outputs and nothing else: no weights, no
log-probs. An answer without a readable verdict gets NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from riskmon.config import JudgeConfig
from riskmon.estimate.judges.regex import build_regex
from riskmon.estimate.judges.toxicity import build_toxicity
from riskmon.records import Prompt, Verdicts


class Judge(Protocol):
    """Scores outputs of one prompt."""

    @property
    def id(self) -> str:
        """Kind and version, enough to tell two judges apart; part of every build_info."""

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """One score per output."""


BUILDERS: dict[str, Callable[[Any], Judge]] = {"regex": build_regex, "toxicity": build_toxicity}


def build_judge(config: JudgeConfig) -> Judge:
    """The configured judge.

    Raises:
        ModelUnavailable: what it needs is not installed or does not load.
    """
    return BUILDERS[config.kind](config)


__all__ = ["BUILDERS", "Judge", "build_judge"]

"""What a judge is: something with an id that turns outputs of a prompt into verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from riskmon.records import Prompt, Verdicts


class Judge(Protocol):
    """Scores outputs of one prompt."""

    @property
    def id(self) -> str:
        """Kind and version, enough to tell two judges apart; part of every build_info."""

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """One score per output."""

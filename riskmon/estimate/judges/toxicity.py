"""`toxicity`: probability that an answer is toxic language, by the packaged classifier alt-profanity-check.

A linear classifier over words: fast enough for every draw, fit for demonstrations and for insults, not a safety judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from riskmon.config import ToxicityJudge
from riskmon.errors import ModelUnavailable
from riskmon.estimate.meter import Meter
from riskmon.records import Prompt, Verdicts


class Toxicity:
    """Score = the classifier's probability."""

    def __init__(self) -> None:
        try:
            from profanity_check import predict_prob
        except ImportError as exc:
            raise ModelUnavailable(
                "judge 'toxicity' needs the package alt-profanity-check; install riskmon[toxicity]"
            ) from exc
        self._predict = predict_prob
        self.id = f"toxicity:alt-profanity-check-{version('alt-profanity-check')}"

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Classify each output."""
        if not outputs:
            return Verdicts(np.empty(0))
        return Verdicts(np.asarray(self._predict(list(outputs)), dtype=np.float64))


def build_toxicity(config: ToxicityJudge, meter: Meter | None) -> Toxicity:
    """Load the classifier."""
    return Toxicity()

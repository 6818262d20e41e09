"""`regex`: an answer is harmful where a pattern is found in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from riskmon.config import RegexJudge
from riskmon.estimate.meter import Meter
from riskmon.records import Prompt, Verdicts


class Regex:
    """Score 1 on a match, else 0."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        digest = hashlib.sha256(f"{pattern.flags}:{pattern.pattern}".encode()).hexdigest()[:12]
        self.id = f"regex:{digest}"

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Search each output."""
        found = [self._pattern.search(output) is not None for output in outputs]
        return Verdicts(np.array(found, dtype=np.float64))


def build_regex(config: RegexJudge, meter: Meter | None) -> Regex:
    """Compile the pattern; the configuration has checked it."""
    return Regex(re.compile(config.pattern, re.IGNORECASE if config.ignore_case else 0))

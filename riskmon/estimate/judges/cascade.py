"""`cascade`: a cheap judge for every answer, a strong one for what it flags and for a random share of the rest.

The strong judge's verdict is the one that counts. It reads every answer that the cheap judge flags (score at or above
its threshold) or cannot read, and each other answer with probability a, the audit share. A verdict's multiplicity is
the inverse of its probability to be read: 1 for answers passed on, 1/a for audited ones, 0 for those not read. So

    E[sum_i multiplicity_i * harmful_i] = sum_i harmful_i by the strong judge alone

whatever the cheap judge misses (Horvitz & Thompson 1952); what it misses only costs variance.

Chance is a hash keyed by the judge's id of the prompt, the answer, and how many equal answers stand before it. So a
repeated run reads the same answers, equal answers are chosen independently, and what is read depends neither on an
answer's weight nor on which other answers are judged with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np

from riskmon.config import CascadeJudge, SimpleJudge
from riskmon.estimate.judges.base import Judge
from riskmon.estimate.judges.identity import judge_id
from riskmon.records import BoolArray, Prompt, Verdicts

_SCALE = 2.0**-53


class Cascade:
    """Score = the strong judge's, where it reads."""

    def __init__(self, config: CascadeJudge, first: Judge, second: Judge) -> None:
        self._first = first
        self._second = second
        self._threshold = config.first.threshold
        self._audit_share = config.audit_share
        self.id = judge_id(
            config.kind,
            f"{first.id}>{second.id}",
            first=first.id,
            second=second.id,
            threshold=self._threshold,
            audit_share=self._audit_share,
        )
        self._key = blake2b(self.id.encode()).digest()

    def judge(self, prompt: Prompt, outputs: Sequence[str]) -> Verdicts:
        """Judge all with the first, some with the second."""
        cheap = self._first.judge(prompt, outputs)
        passed_on = cheap.unreadable | cheap.harmful(self._threshold)
        audited = ~passed_on & self._audited(prompt, outputs)
        read = [int(row) for row in np.flatnonzero(passed_on | audited)]
        scores = np.zeros(len(outputs))
        if read:
            scores[read] = self._second.judge(prompt, [outputs[i] for i in read]).scores
        multiplicity = passed_on + audited / self._audit_share
        return Verdicts(scores, multiplicity)

    def _audited(self, prompt: Prompt, outputs: Sequence[str]) -> BoolArray:
        """[n] bool, True with probability `audit_share` each."""
        before: Counter[str] = Counter()
        chances = np.empty(len(outputs))
        for row, output in enumerate(outputs):
            chances[row] = self._chance(prompt.stream_key, output, before[output])
            before[output] += 1
        return chances < self._audit_share

    def _chance(self, stream_key: str, output: str, before: int) -> float:
        """Uniform in [0, 1); the prompt's key and the answer are hashed apart, so that neither runs into the other."""
        digest = blake2b(digest_size=8, key=self._key)
        for part in (stream_key, output, str(before)):
            digest.update(blake2b(part.encode("utf-8", "surrogatepass")).digest())
        return (int.from_bytes(digest.digest(), "big") >> 11) * _SCALE


def build_cascade(config: CascadeJudge, build: Callable[[SimpleJudge], Judge]) -> Cascade:
    """Build both judges.

    Raises:
        ModelUnavailable: one of them cannot be built.
    """
    return Cascade(config, build(config.first), build(config.second))

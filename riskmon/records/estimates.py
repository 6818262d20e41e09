"""Draws of one prompt, their verdicts, and the estimate made from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from riskmon.records.arrays import BoolArray, FloatArray, IntArray
from riskmon.records.plans import Hit
from riskmon.records.traffic import Prompt, Stratum


class Flag(StrEnum):
    """Why an estimate needs a second look; `docs/method.md` explains each."""

    COVERAGE_GAP = "COVERAGE_GAP"
    HEAVY_WEIGHTS = "HEAVY_WEIGHTS"
    WEIGHT_MEAN_OFF = "WEIGHT_MEAN_OFF"
    NO_HITS = "NO_HITS"
    FEW_HITS = "FEW_HITS"
    TRUNCATED = "TRUNCATED"
    PATH_MISMATCH = "PATH_MISMATCH"
    UNREADABLE = "UNREADABLE"
    BELOW_JUDGE_FLOOR = "BELOW_JUDGE_FLOOR"


DOUBTS = frozenset({Flag.COVERAGE_GAP, Flag.HEAVY_WEIGHTS, Flag.WEIGHT_MEAN_OFF, Flag.NO_HITS, Flag.FEW_HITS})
"""Flags that say: do not rely on this number."""


@dataclass(frozen=True, slots=True, repr=False)
class Draws:
    """Sequences drawn for one prompt, with what is needed to weigh them.

    Attributes:
        tokens: [n, T] int64, right-padded; the end-of-sequence token is part of a sequence.
        lengths: [n] int64, tokens per sequence including its end-of-sequence token.
        ended: [n] bool, whether the sequence closed itself before the cap.
        proposal: [n] int64, index into `counts` of the proposal that drew the row; 0 is the target itself.
        counts: [K] int64, rows per proposal; counts[0] is the defensive share.
        log_target: [n] float64, log p(y) under the target and the deployed sampler; -inf outside its support.
        log_proposals: [K, n] float64, log q_k(y) for every proposal.
        forward_tokens: tokens pushed through any model, prefill and rescoring included.
        device_seconds: wall time on the device.
        path_discrepancy: largest |decoded - rescored| log-prob of a sequence under the voice that drew it.
        token_log_probs: [voices, n, T] float64, log-prob of every token under every voice; 0 behind a sequence's end,
            NaN where no proposal needed it.
    """

    tokens: IntArray
    lengths: IntArray
    ended: BoolArray
    proposal: IntArray
    counts: IntArray
    log_target: FloatArray
    log_proposals: FloatArray
    forward_tokens: int
    device_seconds: float
    path_discrepancy: float
    token_log_probs: FloatArray

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Draws(n={len(self)}, counts={self.counts.tolist()}, forward_tokens={self.forward_tokens})"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A judge's scores of n outputs.

    Attributes:
        scores: [n] float64 in [0, 1]; NaN where the judge gave no readable verdict.
        multiplicity: [n] float64, how many outputs each verdict stands for, where a judge reads only a random part of
            them: the inverse of its probability to be read, 0 for an output not read. None is 1 throughout.
    """

    scores: FloatArray
    multiplicity: FloatArray | None = None

    def harmful(self, threshold: float) -> BoolArray:
        """[n] bool, score >= threshold; unreadable verdicts are False here and bounded by the caller."""
        return np.nan_to_num(self.scores, nan=-1.0) >= threshold

    @property
    def unreadable(self) -> BoolArray:
        """[n] bool, True where there is no verdict."""
        return np.isnan(self.scores)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tail probability of one harm on one prompt.

    Attributes:
        p: unbiased estimate of P[harm | prompt] within the token cap.
        stderr: its standard error; None where unknown (fewer than two draws, or no hit).
        ci_low, ci_high: 95% working interval, valid where the proposals cover the harm.
        upper_bound: 95% upper bound valid without any assumption on coverage.
        n: draws. hits: harmful draws. unreadable: draws without a verdict.
        ess: effective sample size of w*h; 0 without hits.
        khat: Pareto tail index of w*h; None with too few hits.
        weight_mean: mean importance weight, 1 in expectation; weight_z: its z-score, None where undefined.
        target_draws: draws of the target itself. gap_hits: harmful ones among them that no other proposal covers.
        tokens, device_seconds: cost, shared by all harms of the prompt.
    """

    prompt_id: str
    harm: str
    stratum: Stratum
    p: float
    stderr: float | None
    ci_low: float
    ci_high: float
    upper_bound: float
    n: int
    hits: int
    ess: float
    khat: float | None
    weight_mean: float
    flags: tuple[Flag, ...]
    tokens: int
    device_seconds: float
    weight_z: float | None = None
    target_draws: int = 0
    gap_hits: int = 0
    unreadable: int = 0
    path_discrepancy: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether the judge has read more than half of the answers; otherwise p is that of a judge that was away."""
        return 2 * self.unreadable < self.n

    @property
    def unknown(self) -> bool:
        """Whether p is no number: false alarms alone could make it, or most answers were not judged."""
        return Flag.BELOW_JUDGE_FLOOR in self.flags or not self.judged

    def as_contract(self) -> dict[str, Any]:
        """The fields of a `riskmon estimate` output line, in their documented order.

        Where p is unknown, it and its error are None.
        """
        return {
            "prompt_id": self.prompt_id,
            "harm": self.harm,
            "stratum": self.stratum.as_dict(),
            "p": None if self.unknown else self.p,
            "stderr": None if self.unknown else self.stderr,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "upper_bound": self.upper_bound,
            "n": self.n,
            "hits": self.hits,
            "ess": self.ess,
            "khat": self.khat,
            "weight_mean": self.weight_mean,
            "flags": [str(flag) for flag in self.flags],
            "tokens": self.tokens,
            "device_seconds": self.device_seconds,
        }


@dataclass(frozen=True, slots=True)
class PromptResult:
    """Outcome of one prompt in a cycle: estimates for every harm, or the reason why there are none.

    Attributes:
        prompt: the prompt (its text is masked in repr).
        estimates: one per harm; empty on failure.
        failure: slug of the reason, None on success. message: one sentence that names the prompt by id.
        hits: the harmful draws that carry most of the estimates.
        spread: per harm, standard deviation of one pilot draw's w h, and the mean; empty without a pilot. It alone may
            decide about further draws.
    """

    prompt: Prompt
    estimates: tuple[Estimate, ...] = ()
    failure: str | None = None
    message: str = ""
    hits: tuple[Hit, ...] = ()
    spread: tuple[tuple[float, float], ...] = ()

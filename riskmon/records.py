"""The frozen nouns that stages hand to one another.

Traffic makes an `IntakeBatch` of counted and sampled prompts; estimate turns a `Prompt` into `Draws`, `Verdicts`
and one `Estimate` per harm; forecast turns `WeightedEstimate`s and volume into `Forecast`s; publish shows a
`Snapshot`. Stages import this module and nothing of one another.

Times are aware UTC datetimes. Arrays are never written to after construction. Text of prompts and completions is
held here and nowhere else, and every `repr` leaves it out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


# ---- prompts and traffic


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """A cell of the traffic: label names and values, in the configured order.

    `Stratum()` is the single stratum of unstratified traffic.
    """

    labels: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, str]:
        """Labels as a plain mapping."""
        return dict(self.labels)

    def key(self) -> str:
        """Canonical JSON text, used as the stratum's identity in the store."""
        return json.dumps(self.labels, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_key(cls, key: str) -> Stratum:
        """Inverse of `key`."""
        return cls(tuple((name, value) for name, value in json.loads(key)))

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels) or "all"


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn; its text stays out of `repr`."""

    role: str
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a message stands in its source: topic (or file), partition, offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True, repr=False)
class Prompt:
    """One production prompt.

    Attributes:
        id: the producer's id, or the position when it sent none.
        content: plain text, or chat messages.
        stratum: the cell it is counted in.
        position: where it was read; None for prompts from a file of `riskmon estimate`.
        response: what the deployed model answered, where the stream carries it.
    """

    id: str
    content: str | tuple[Message, ...]
    stratum: Stratum = Stratum()
    position: Position | None = None
    response: str | None = None

    @property
    def stream_key(self) -> str:
        """Names the prompt's random stream: unique even where a producer repeats an id."""
        return self.id if self.position is None else f"{self.id}@{self.position}"

    def __repr__(self) -> str:
        shape = (
            f"chars={len(self.content)}" if isinstance(self.content, str) else f"messages={len(self.content)}"
        )
        return f"Prompt(id={self.id!r}, {shape}, stratum={self.stratum})"


@dataclass(frozen=True, slots=True)
class SampledPrompt:
    """A prompt kept by the sampler.

    Attributes:
        prompt: the prompt; its `position` is set.
        window_start: start of the counting window it fell into.
        priority: keyed hash of the position, uniform in (0, 1); the smallest of a cell are kept.
    """

    prompt: Prompt
    window_start: datetime
    priority: float


@dataclass(frozen=True, slots=True)
class VolumeWindow:
    """Requests of one stratum counted in one window: exact, not sampled."""

    start: datetime
    stratum: Stratum
    requests: int


@dataclass(frozen=True, slots=True)
class IntakeBatch:
    """What one flush of the intake adds to the store, all of it in one transaction.

    Attributes:
        consumed: messages read, rejected ones included.
        requests: counted requests per (window start, stratum).
        sample: candidates for the bottom-k of their cell.
        rejected: undecodable messages per reason.
        next_offsets: per (topic, partition), the offset to resume from.
    """

    consumed: int = 0
    requests: Mapping[tuple[datetime, Stratum], int] = field(default_factory=dict)
    sample: Sequence[SampledPrompt] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    next_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrafficStatus:
    """Health of the source as the intake last saw it.

    Attributes:
        up: whether the source answered.
        lag_messages: unread messages over all partitions; None while unknown.
        detail: one sentence for people when `up` is False.
    """

    up: bool
    lag_messages: int | None
    at: datetime
    detail: str = ""


# ---- estimation


class Flag(StrEnum):
    """Why an estimate needs a second look; `docs/method.md` explains each."""

    COVERAGE_GAP = "COVERAGE_GAP"
    HEAVY_WEIGHTS = "HEAVY_WEIGHTS"
    WEIGHT_MEAN_OFF = "WEIGHT_MEAN_OFF"
    NO_HITS = "NO_HITS"
    TRUNCATED = "TRUNCATED"
    PATH_MISMATCH = "PATH_MISMATCH"
    UNREADABLE = "UNREADABLE"


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
        path_discrepancy: largest |decoded - rescored| log-prob of a sequence under the expert that drew it.
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

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Draws(n={len(self)}, counts={self.counts.tolist()}, forward_tokens={self.forward_tokens})"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A judge's scores of n outputs.

    Attributes:
        scores: [n] float64 in [0, 1]; NaN where the judge gave no readable verdict.
    """

    scores: FloatArray

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

    def as_contract(self) -> dict[str, Any]:
        """The fields of a `riskmon estimate` output line, in their documented order."""
        return {
            "prompt_id": self.prompt_id,
            "harm": self.harm,
            "stratum": self.stratum.as_dict(),
            "p": self.p,
            "stderr": self.stderr,
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
        observed: per harm, whether the deployed model's own response was judged harmful; absent without response.
        failure: slug of the reason, None on success. message: one sentence that names the prompt by id.
    """

    prompt: Prompt
    estimates: tuple[Estimate, ...] = ()
    observed: Mapping[str, bool] = field(default_factory=dict)
    failure: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class HarmHealth:
    """Health of one harm's estimates over a cycle.

    Attributes:
        ess_ratio: mean over prompts with hits of ESS(w*h) / n; None without hits.
        khat: largest Pareto tail index; None where no prompt had enough hits.
        coverage_gap_ratio: share of prompts flagged COVERAGE_GAP.
        target_draws, gap_hits: pooled over the cycle's prompts.
        uncovered_upper: 95% upper bound on the mean probability of harm that only the target itself reaches.
    """

    harm: str
    ess_ratio: float | None
    khat: float | None
    coverage_gap_ratio: float
    target_draws: int
    gap_hits: int
    uncovered_upper: float


@dataclass(frozen=True, slots=True)
class CycleSummary:
    """One estimate cycle: what was done, what was left out, how healthy it was.

    Attributes:
        prompts: prompts with an estimate. failures: prompts without one, per reason.
        left_out: prompts that waited when the cycle began and were not reached.
        tokens, device_seconds: cost.
        weight_mean: mean over prompts of the mean importance weight; None without estimates.
        path_discrepancy: largest of any prompt, see `Draws`.
        complete: the cycle came to the end of its prompts or of its device budget, and was not broken off.
    """

    started_at: datetime
    finished_at: datetime
    prompts: int
    failures: Mapping[str, int]
    left_out: int
    tokens: int
    device_seconds: float
    weight_mean: float | None
    path_discrepancy: float
    health: tuple[HarmHealth, ...]
    complete: bool

    @property
    def duration_seconds(self) -> float:
        """Wall time of the cycle."""
        return (self.finished_at - self.started_at).total_seconds()


# ---- forecast


@dataclass(frozen=True, slots=True)
class WeightedEstimate:
    """An estimate with the number of requests it stands for (inverse of its inclusion probability).

    Attributes:
        weight: requests represented, N_cell / (estimated prompts of that cell).
        population: requests of the cell, N_cell.
    """

    estimate: Estimate
    weight: float
    cell: tuple[datetime, Stratum]
    population: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected harmful outputs of the next 24 hours; `stratum` None means the total over strata.

    Attributes:
        expected: expected count. lower, upper: 90% prediction interval of the count.
        any_probability: P(at least one).
        daily_requests: predicted volume.
        harm_probability: traffic-weighted mean p(x). harm_probability_upper: 95% upper limit of it.
        worst_query_probability: extrapolated largest p(x) of the day; None when refused.
        prompts: estimated prompts behind it. hits: harmful draws behind it.
        basis: one short phrase that says what the volume rests on.
    """

    harm: str
    stratum: Stratum | None
    made_at: datetime
    expected: float
    lower: float
    upper: float
    any_probability: float
    daily_requests: float
    harm_probability: float
    harm_probability_upper: float
    worst_query_probability: float | None
    prompts: int
    hits: int
    basis: str = ""


# ---- publish


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the store was made; they survive restarts."""

    consumed: int = 0
    sampled: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    estimated_prompts: int = 0
    estimate_failures: Mapping[str, int] = field(default_factory=dict)
    estimate_tokens: int = 0
    estimate_device_seconds: float = 0.0
    observed: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # harm -> (outputs, harmful outputs)
    job_failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that publish shows at one moment; read from the store, so a restart changes nothing."""

    taken_at: datetime
    forecasts: tuple[Forecast, ...] = ()
    counters: Counters = Counters()
    last_cycle: CycleSummary | None = None
    last_success: CycleSummary | None = None
    forecast_at: datetime | None = None
    traffic: TrafficStatus | None = None

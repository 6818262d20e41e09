"""How far a prompt's risk moves when its wording changes and its meaning does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Names one sampled prompt: its cell, and its id there."""

    window_start: datetime
    stratum: Stratum
    prompt_id: str


@dataclass(frozen=True, slots=True)
class PromptSensitivity:
    """One harm's risk over the wordings of one prompt. None is unknown, and never zero.

    Attributes:
        base_p: p of the prompt as it stands; None where no draw was harmful. base_upper: its guaranteed bound.
        variants: rewordings with an estimate. with_hits: those of them with a harmful draw. doubtful: those flagged
            for more than missing or few hits. failed: rewordings without an estimate. dropped: paraphrases that
            were refused before any draw.
        mean, mean_stderr: arithmetic mean of p over the rewordings; one without hits counts as 0.
        mean_upper: the same with the guaranteed bound of each that has no hits.
        geometric_mean: exp of the mean of log p, noise taken out.
        quantiles: (level, p) over the rewordings as observed; 0 stands for one without hits.
        log10_sd: standard deviation of log10 p over the rewordings, noise taken out; log10_sd_low, log10_sd_high: 95%
            interval, whose upper end is None where nothing bounds it.
        worst: largest p of a rewording over base_p, corrected for being the largest of many noisy ones; None where
            either is unknown. worst_low, worst_high: 95% interval; None is unbounded.
        worst_observed: the same ratio as observed. worst_variant: id of that rewording.
        base_to_mean: base_p / mean.
        worst_share: share of the rewordings' summed p that the largest of them holds.
    """

    prompt_id: str
    harm: str
    stratum: Stratum
    base_p: float | None
    base_upper: float
    variants: int
    with_hits: int
    doubtful: int
    failed: int
    dropped: int
    mean: float
    mean_stderr: float | None
    mean_upper: float
    geometric_mean: float | None
    quantiles: tuple[tuple[float, float], ...]
    log10_sd: float | None
    log10_sd_low: float | None
    log10_sd_high: float | None
    worst: float | None
    worst_low: float
    worst_high: float | None
    worst_observed: float | None
    worst_variant: str | None
    base_to_mean: float | None
    worst_share: float | None

    def as_contract(self) -> dict[str, Any]:
        """The fields of a `riskmon sensitivity` output line, in their documented order."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **fields,
            "stratum": self.stratum.as_dict(),
            "quantiles": {f"{level:g}": p for level, p in self.quantiles},
        }


@dataclass(frozen=True, slots=True)
class StratumSensitivity:
    """One harm's sensitivity over the examined prompts of a stratum.

    Attributes:
        prompts: examined prompts.
        worst, worst_low, worst_high: as `PromptSensitivity`, the largest over all prompts and rewordings; the interval
            accounts for both choices.
        log10_spread: median over prompts of `log10_sd`; None where none has one.
    """

    harm: str
    stratum: Stratum
    prompts: int
    worst: float | None
    worst_low: float
    worst_high: float | None
    log10_spread: float | None


@dataclass(frozen=True, slots=True)
class SensitivitySummary:
    """What one run of the sensitivity job found.

    Attributes:
        prompts: one per prompt and harm. strata: one per stratum and harm.
        failures: examined prompts without a result, per reason.
        left_out: chosen prompts that the budget, or a stop, did not reach.
        tokens, device_seconds: cost.
        complete: it came to the end of its prompts or of its budget, and was not broken off.
    """

    started_at: datetime
    finished_at: datetime
    prompts: tuple[PromptSensitivity, ...]
    strata: tuple[StratumSensitivity, ...]
    failures: Mapping[str, int]
    left_out: int
    tokens: int
    device_seconds: float
    complete: bool

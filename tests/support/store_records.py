"""Records for the store's tests: short to write, every field set to something telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from riskmon.records import (
    CycleSummary,
    Estimate,
    Flag,
    Forecast,
    HarmHealth,
    Hit,
    Horizon,
    IntakeBatch,
    Plan,
    PlanMember,
    Position,
    Prompt,
    PromptResult,
    SampledPrompt,
    Stratum,
    VarianceShares,
)
from riskmon.records.observed import Observation, ResponseVerdict

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHAT = Stratum((("route", "chat"),))
CODE = Stratum((("route", "code"),))


def sampled(
    offset: int,
    priority: float,
    *,
    partition: int = 0,
    topic: str = "prompts",
    window: datetime = NOON,
    stratum: Stratum = CHAT,
    text: str = "hello",
    response: str | None = None,
) -> SampledPrompt:
    prompt = Prompt(
        id=f"{topic}-{partition}-{offset}",
        content=text,
        stratum=stratum,
        position=Position(topic, partition, offset),
        response=response,
    )
    return SampledPrompt(prompt, window, priority)


def batch(candidates: Iterable[SampledPrompt], *, rejected: dict[str, int] | None = None) -> IntakeBatch:
    """A batch that consumed exactly its candidates, plus one further message per rejection, on partition 0."""
    candidates = tuple(candidates)
    rejected = rejected or {}
    ends: dict[tuple[str, int], int] = {}
    for candidate in candidates:
        position = candidate.prompt.position
        assert position is not None
        part = (position.topic, position.partition)
        ends[part] = max(ends.get(part, 0), position.offset + 1)
    return IntakeBatch(
        consumed=len(candidates) + sum(rejected.values()),
        requests=Counter((c.window_start, c.prompt.stratum) for c in candidates),
        sample=candidates,
        rejected=rejected,
        next_offsets=ends,
    )


def counted(
    requests: int,
    *,
    end: int,
    sample: Iterable[SampledPrompt] = (),
    partition: int = 0,
    window: datetime = NOON,
    stratum: Stratum = CHAT,
) -> IntakeBatch:
    """A batch of one cell that counts more requests than it samples."""
    return IntakeBatch(
        consumed=requests,
        requests={(window, stratum): requests},
        sample=tuple(sample),
        next_offsets={("prompts", partition): end},
    )


def estimate(prompt: Prompt, harm: str = "misuse", p: float = 0.1 + 0.2) -> Estimate:
    return Estimate(
        prompt_id=prompt.id,
        harm=harm,
        stratum=prompt.stratum,
        p=p,
        stderr=1 / 3,
        ci_low=1e-300,
        ci_high=0.7,
        upper_bound=0.9,
        n=500,
        hits=7,
        ess=3.25,
        khat=None,
        weight_mean=1.01,
        flags=(Flag.NO_HITS, Flag.TRUNCATED),
        tokens=12_000,
        device_seconds=1.75,
        weight_z=-0.5,
        target_draws=50,
        gap_hits=2,
        unreadable=3,
        path_discrepancy=4.6e-5,
    )


def success(prompt: Prompt, *harms: str) -> PromptResult:
    return PromptResult(prompt, tuple(estimate(prompt, harm) for harm in harms or ("misuse",)))


def observation(prompt: Prompt, *uncovered: str, **harmful: bool) -> Observation:
    """Verdicts by harm; those named are uncovered."""
    verdicts = {harm: ResponseVerdict(flag, harm in uncovered) for harm, flag in harmful.items()}
    return Observation(prompt, verdicts)


def refined(first: PromptResult, draws: int, *hits: Hit) -> PromptResult:
    """What more draws make of a result: another p, and the cost of all draws."""
    growth = draws / first.estimates[0].n
    estimates = tuple(
        replace(
            one, n=draws, p=0.25, tokens=int(one.tokens * growth), device_seconds=one.device_seconds * growth
        )
        for one in first.estimates
    )
    return replace(first, estimates=estimates, hits=hits)


def hit(
    prompt: Prompt,
    *tokens: int,
    harm: str = "misuse",
    uncovered: bool = False,
    weight: float = 0.1 + 0.2,
    voices: int = 2,
) -> Hit:
    """A hit whose log-probs tell their voice and place; the last voice is unknown throughout."""
    log_probs = -np.arange(1, voices * len(tokens) + 1, dtype=np.float32).reshape(voices, len(tokens)) / 3
    log_probs[-1] = np.nan
    return Hit(prompt, harm, tokens, weight, uncovered, "voices-1", log_probs)


def plan(made_at: datetime, stratum: Stratum | None, gain_nats: float | None = 1 / 3) -> Plan:
    members = (PlanMember("target", 1.0, 0, 40, 0.1), PlanMember("lora", 0.35, 0, 16, 0.9))
    return Plan(stratum, made_at, members, 12, 7.5, gain_nats, "12 hits of earlier cycles")


def failure(prompt: Prompt, reason: str = "too_long") -> PromptResult:
    return PromptResult(prompt, failure=reason, message=f"prompt {prompt.id} failed")


def summary(finished_at: datetime, *, complete: bool = True, prompts: int = 40) -> CycleSummary:
    health = [
        HarmHealth("misuse", 0.31, 0.62, 0.05, 2000, 3, 0.0039, {Flag.COVERAGE_GAP: 2, Flag.NO_HITS: 0}),
        HarmHealth("insult", None, None, 0.0, 2000, 0, 0.0015),
    ]
    return CycleSummary(
        started_at=finished_at - timedelta(minutes=12, microseconds=7),
        finished_at=finished_at,
        prompts=prompts,
        failures={"too_long": 2, "not_finite": 1},
        left_out=5,
        tokens=480_000,
        device_seconds=701.125,
        weight_mean=0.998,
        path_discrepancy=3.1e-5,
        health=tuple(health),
        complete=complete,
    )


def forecast(
    made_at: datetime, stratum: Stratum | None, expected: float, horizon: Horizon = Horizon.DAY
) -> Forecast:
    return Forecast(
        harm="misuse",
        stratum=stratum,
        made_at=made_at,
        expected=expected,
        lower=expected / 3,
        upper=expected * 3,
        any_probability=0.875,
        requests=86_400.5,
        harm_probability=1e-7 / 3,
        harm_probability_upper=2e-6,
        worst_query_probability=None if stratum is None else 0.015,
        prompts=190,
        hits=11,
        basis="24 hourly windows",
        horizon=horizon,
        lower_50=expected / 2,
        upper_50=expected * 2,
        lower_99=0.0,
        upper_99=expected * 9,
        over_budget_probability=None if stratum is None else 0.25,
        requests_stderr=1_234.5,
        harm_probability_stderr=1e-8 / 3,
        variance=None if stratum is None else VarianceShares(0.4, 0.3, 0.2, 0.0, 0.1),
        unseen_share=0.625,
        retries=10,
        retry_probability=3e-7,
        retry_lower=1e-7,
        retry_upper=2e-5,
    )

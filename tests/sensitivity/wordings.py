"""Estimates of wordings whose true p is known, made by the package's own intervals from simulated draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from riskmon.estimate.intervals import guaranteed_upper, working_interval
from riskmon.records import Estimate, Flag, Prompt, PromptResult, Stratum

ALL = Stratum()
DRAWS = 400
DEFENSIVE = 0.1


def estimate(
    prompt_id: str = "a~case-1",
    p: float = 1e-4,
    stderr: float | None = 1e-5,
    *,
    ci_high: float | None = None,
    upper: float = 0.03,
    flags: Sequence[Flag] = (),
    harm: str = "misuse",
    stratum: Stratum = ALL,
    seconds: float = 1.0,
) -> Estimate:
    """An estimate with given figures; a stderr of None makes one without hits."""
    hits = 0 if stderr is None else 50
    return Estimate(
        prompt_id=prompt_id,
        harm=harm,
        stratum=stratum,
        p=p if hits else 0.0,
        stderr=stderr,
        ci_low=max(0.0, p - 2 * (stderr or p)),
        ci_high=ci_high or (min(1.0, p + 2 * stderr) if stderr is not None else upper),
        upper_bound=upper,
        n=DRAWS,
        hits=hits,
        ess=float(hits),
        khat=None,
        weight_mean=1.0,
        flags=tuple(flags) or (() if hits else (Flag.NO_HITS,)),
        tokens=1000,
        device_seconds=seconds,
    )


@cache
def unseen_bound(weight_bound: float) -> float:
    return guaranteed_upper([(np.zeros(DRAWS), weight_bound)])


def drawn(rng: np.random.Generator, prompt_id: str, p: float, *, hit_rate: float, log_sd: float) -> Estimate:
    """An estimate from draws that hit at `hit_rate`, with lognormal weights of mean p / hit_rate.

    A hit rate equal to p with `log_sd` 0 is plain sampling of the target.
    """
    hits = rng.binomial(DRAWS, min(1.0, hit_rate))
    terms = np.zeros(DRAWS)
    terms[:hits] = p / hit_rate * np.exp(log_sd * rng.standard_normal(hits) - log_sd**2 / 2)
    if not hits:
        weight_bound = 1.0 if hit_rate == p else 1 / DEFENSIVE
        return estimate(prompt_id, stderr=None, upper=unseen_bound(weight_bound))
    value = float(terms.mean())
    stderr = float(terms.std(ddof=1) / np.sqrt(DRAWS))
    if value >= 1:
        return estimate(prompt_id, 1.0, 0.0, ci_high=1.0)
    _, high = working_interval(terms, value, stderr)
    return estimate(prompt_id, value, stderr, ci_high=high, upper=1.0)


def family_of(
    rng: np.random.Generator,
    log10_base: float,
    log10_variants: Sequence[float],
    *,
    hit_rate: float | None = 0.3,
    log_sd: float = 1.0,
) -> tuple[Estimate, tuple[Estimate, ...]]:
    """Base and variants; a hit rate of None samples the target itself."""

    def one(prompt_id: str, log10_p: float) -> Estimate:
        p = 10**log10_p
        rate = p if hit_rate is None else max(hit_rate, p)
        return drawn(rng, prompt_id, p, hit_rate=rate, log_sd=0.0 if hit_rate is None else log_sd)

    variants = tuple(one(f"a~typos-{k}", value) for k, value in enumerate(log10_variants, 1))
    return one("a", log10_base), variants


def result(prompt: Prompt, *estimates: Estimate) -> PromptResult:
    return PromptResult(prompt, estimates)

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from riskmon.config import EstimateConfig
from riskmon.estimate.allocation import Candidate, further_draws
from riskmon.estimate.cycle import plan_refinement, summarize_cycle
from riskmon.records import Estimate, Flag, Prompt, PromptResult, Stratum
from riskmon.statistics import upper_limit

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def estimate_of(prompt, *, harm="h", device_seconds=10.0, flags=(), khat=None, gap_hits=0, hits=4, ess=2.0):
    return Estimate(
        prompt_id=prompt.id,
        harm=harm,
        stratum=Stratum(),
        p=1e-3,
        stderr=1e-4,
        ci_low=1e-4,
        ci_high=1e-2,
        upper_bound=0.1,
        n=100,
        hits=hits,
        ess=ess,
        khat=khat,
        weight_mean=1.25,
        flags=flags,
        tokens=1000,
        device_seconds=device_seconds,
        target_draws=10,
        gap_hits=gap_hits,
        path_discrepancy=0.01,
    )


def result_of(prompt, **fields):
    return PromptResult(prompt, (estimate_of(prompt, **fields),))


PROMPTS = [Prompt(str(i), "text") for i in range(6)]


def test_summary_adds_costs_once_per_prompt_and_health_per_harm():
    results = [
        PromptResult(
            PROMPTS[0],
            (
                estimate_of(PROMPTS[0], khat=0.4, ess=20.0),
                estimate_of(PROMPTS[0], harm="g", flags=(Flag.COVERAGE_GAP,), gap_hits=2),
            ),
        ),
        PromptResult(
            PROMPTS[1],
            (estimate_of(PROMPTS[1], khat=0.6, ess=40.0), estimate_of(PROMPTS[1], harm="g", hits=0, ess=0.0)),
        ),
        PromptResult(PROMPTS[2], failure="too_long", message=""),
    ]
    summary = summarize_cycle(
        results,
        ["h", "g"],
        asked=5,
        device_seconds=27.5,
        started_at=START,
        finished_at=START + timedelta(seconds=90),
        complete=True,
    )
    assert (summary.prompts, summary.failures, summary.left_out) == (2, {"too_long": 1}, 2)
    assert (summary.tokens, summary.device_seconds, summary.duration_seconds) == (2000, 27.5, 90)
    assert summary.weight_mean == 1.25
    h, g = summary.health
    assert h.ess_ratio == pytest.approx(0.3)
    assert h.khat == 0.6
    assert (h.coverage_gap_ratio, g.coverage_gap_ratio) == (0, 0.5)
    assert g.khat is None
    assert g.uncovered_upper == upper_limit(2, 20)


def test_a_cycle_without_estimates_knows_nothing():
    summary = summarize_cycle(
        [], ["h"], asked=3, device_seconds=0.0, started_at=START, finished_at=START, complete=False
    )
    assert summary.weight_mean is None
    assert summary.health[0].ess_ratio is None
    assert summary.health[0].uncovered_upper == 1
    assert summary.left_out == 3
    assert not summary.complete


# ---- further draws


def refinable(i, spread, *, n=100, seconds=2.0):
    """A result whose pilot of twenty draws had this spread and mean."""
    result = result_of(PROMPTS[i], device_seconds=seconds)
    estimate = replace(result.estimates[0], n=n)
    return replace(result, estimates=(estimate,), spread=((spread, 1e-3),))


CONFIG = EstimateConfig(samples_per_prompt=100, pilot_share=0.2, refine_limit=5, early_stop=0.0)


def test_further_draws_go_where_the_pilot_spread_and_the_requests_are():
    results = [refinable(0, 1e-3), refinable(1, 8e-3), refinable(2, 1e-3)]
    found = plan_refinement(results, [1.0, 1.0, 4.0], 8.0, CONFIG)
    candidates = [
        Candidate(requests, ((spread, 1e-3),), pilot_draws=20, draws=80, seconds_per_draw=0.02)
        for requests, spread in ((1.0, 1e-3), (1.0, 8e-3), (4.0, 1e-3))
    ]
    extra = further_draws(candidates, 8.0, limit=480, early_stop=0.0)
    assert found == [(i, draws) for i, draws in enumerate(extra.tolist()) if draws]
    assert {i for i, _ in found} == {1, 2}
    # Fewer than sixteen further draws are not worth it; such a share stays unspent.
    assert 8.0 - 16 * 0.02 - 0.05 < sum(draws for _, draws in found) * 0.02 <= 8.0


def test_only_prompts_with_an_estimate_and_a_pilot_get_further_draws():
    without_pilot = replace(refinable(1, 8e-3), spread=())
    failed = PromptResult(PROMPTS[0], failure="too_long", message="prompt has too many tokens")
    found = plan_refinement([failed, without_pilot, refinable(2, 8e-3)], [9.0, 9.0, 1.0], 4.0, CONFIG)
    assert found in ([(2, 199)], [(2, 200)])  # 4 s at 0.02 s a draw, cut down to whole draws


def test_no_prompt_gets_more_than_the_limit():
    results = [refinable(0, 8e-3), refinable(1, 8e-3, n=450)]
    assert plan_refinement(results, [1.0, 1.0], 1e6, CONFIG) == [(0, 400), (1, 50)]


def test_without_time_or_results_nothing_is_drawn():
    assert plan_refinement([refinable(0, 8e-3)], [1.0], 0.0, CONFIG) == []
    assert plan_refinement([], [], 100.0, CONFIG) == []

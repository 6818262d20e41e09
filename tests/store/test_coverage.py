"""The coverage audit, pooled over prompts, strata and days."""

from __future__ import annotations

from dataclasses import replace

from support.store_records import CHAT, CODE, HOUR, NOON, batch, estimate, failure, hit, observation, sampled

from riskmon.records import Prompt, PromptResult
from riskmon.records.coverage import CoverageCount
from riskmon.records.observed import Observation, ResponseVerdict
from riskmon.store import Store


def audited(prompt: Prompt, **counts: tuple[int, int]) -> PromptResult:
    """A result whose harms saw so many target draws and gap hits."""
    return PromptResult(
        prompt,
        tuple(
            replace(estimate(prompt, harm), target_draws=draws, gap_hits=hits)
            for harm, (draws, hits) in counts.items()
        ),
    )


def test_counts_add_up_over_prompts_days_and_strata(store: Store) -> None:
    later = NOON + 30 * HOUR
    prompts = [
        sampled(0, 0.1, stratum=CODE),
        sampled(1, 0.2, stratum=CODE),
        sampled(2, 0.3, stratum=CHAT),
        sampled(3, 0.4, stratum=CHAT, window=later),
        sampled(4, 0.5, stratum=CHAT, window=later),
    ]
    store.write_intake(batch(prompts), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    results = [
        audited(prompts[0].prompt, misuse=(50, 1), insult=(50, 0)),
        audited(prompts[1].prompt, misuse=(60, 2), insult=(60, 0)),
        audited(prompts[2].prompt, misuse=(70, 0)),
        audited(prompts[3].prompt, misuse=(80, 4)),
        failure(prompts[4].prompt),
    ]
    for result in results:
        store.write_result(cycle, result, NOON)
    assert store.coverage(NOON) == [
        CoverageCount("insult", CODE, 110, 0),
        CoverageCount("insult", None, 110, 0),
        CoverageCount("misuse", CODE, 110, 3),
        CoverageCount("misuse", CHAT, 150, 4),
        CoverageCount("misuse", None, 260, 7),
    ]
    assert store.coverage(later) == [
        CoverageCount("misuse", CHAT, 80, 4),
        CoverageCount("misuse", None, 80, 4),
    ]
    assert store.coverage(later + HOUR) == []
    assert all(type(count.target_draws) is int for count in store.coverage(NOON))


def test_a_refined_prompt_counts_the_draws_it_ended_with(store: Store) -> None:
    one = sampled(0, 0.1)
    store.write_intake(batch([one]), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, audited(one.prompt, misuse=(50, 1)), NOON)
    more = audited(one.prompt, misuse=(200, 3))
    store.refine_result(cycle, replace(more, estimates=(replace(more.estimates[0], n=2_000),)), NOON)
    assert store.coverage(NOON) == [
        CoverageCount("misuse", CHAT, 200, 3),
        CoverageCount("misuse", None, 200, 3),
    ]


def test_prompts_drawn_from_with_the_target_alone_say_nothing_of_coverage(store: Store) -> None:
    plain, mixed = sampled(0, 0.1), sampled(1, 0.2)
    store.write_intake(batch([plain, mixed]), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, audited(plain.prompt, misuse=(500, 0)), NOON)  # all of its 500 draws
    assert store.coverage(NOON) == []
    store.write_result(cycle, audited(mixed.prompt, misuse=(50, 0)), NOON)
    assert [count.target_draws for count in store.coverage(NOON)] == [50, 50]


def test_responses_are_counted_apart_from_the_target_s_own_draws(store: Store) -> None:
    prompts = [sampled(i, (i + 1) / 10, response="yes", stratum=CODE if i < 2 else CHAT) for i in range(5)]
    store.write_intake(batch(prompts), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, audited(prompts[0].prompt, misuse=(50, 1)), NOON)
    store.write_observation(observation(prompts[0].prompt, misuse=True), NOON)
    store.write_observation(observation(prompts[1].prompt, "misuse", misuse=True, insult=False), NOON)
    store.write_observation(observation(prompts[2].prompt, misuse=False), NOON)
    # Only the target is drawn from: nothing was asked.
    bare = Observation(prompts[3].prompt, {"misuse": ResponseVerdict(harmful=True)})
    store.write_observation(bare, NOON)
    assert store.coverage(NOON) == [
        CoverageCount("insult", CODE, 0, 0, 1, 0),
        CoverageCount("insult", None, 0, 0, 1, 0),
        CoverageCount("misuse", CODE, 50, 1, 2, 1),
        CoverageCount("misuse", CHAT, 0, 0, 1, 0),
        CoverageCount("misuse", None, 50, 1, 3, 1),
    ]
    assert store.counters().observed_uncovered == {"misuse": 1}
    total = store.coverage(NOON)[-1]
    assert total.pooled(responses=False) == total
    assert total.pooled(responses=True) == replace(total, target_draws=53, gap_hits=2)


def test_a_response_that_trains_proposals_is_a_hit_of_its_prompt(store: Store) -> None:
    found = sampled(0, 0.5, response="yes")
    store.write_intake(batch([found]), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    kept = hit(replace(found.prompt, response=None), 1, 2, uncovered=True)
    seen = Observation(found.prompt, {"misuse": ResponseVerdict(True, True)}, (kept,))
    for _ in range(2):
        store.write_observation(seen, NOON)
    assert [one.tokens for one in store.hits(NOON, 9)] == [(1, 2)]
    store.write_result(cycle, audited(found.prompt, misuse=(50, 1)), NOON)
    assert len(store.hits(NOON, 9)) == 1

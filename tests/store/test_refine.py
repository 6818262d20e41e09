"""A prompt drawn from again: better estimates, its further cost, and nothing counted twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.store_records import CHAT, NOON, batch, failure, hit, refined, sampled, success

from riskmon.errors import StoreUnavailable
from riskmon.records import Counters, PromptResult
from riskmon.store import Store


def first_result(store: Store, *harms: str) -> tuple[int, PromptResult]:
    """A cycle, and the result of its only prompt: 500 draws, 12,000 tokens, 1.75 device seconds."""
    one = sampled(0, 0.5)
    store.write_intake(batch([one]), keep=1, now=NOON)
    cycle = store.begin_cycle(NOON)
    first = replace(success(one.prompt, *harms), hits=(hit(one.prompt, 1, 2),))
    store.write_result(cycle, first, NOON)
    return cycle, first


def counted(tokens: int, device_seconds: float, *, draws: int, consumed: int = 1, harms: int = 1) -> Counters:
    """The work of one prompt, estimated once; three verdicts on its draws are unreadable."""
    return Counters(
        consumed=consumed,
        sampled=consumed,
        estimated_prompts=1,
        estimate_tokens=tokens,
        estimate_device_seconds=device_seconds,
        verdicts=dict.fromkeys(("misuse", "insult")[:harms], (draws, 3)),
    )


def test_a_refined_result_replaces_estimates_and_counts_what_came_on_top(store: Store) -> None:
    cycle, first = first_result(store, "misuse", "insult")
    again = refined(first, 2_000)
    for _ in range(2):
        store.refine_result(cycle, again, NOON)
        found = store.weighted_estimates(NOON)
        assert {one.estimate for one in found} == set(again.estimates)
        assert [(one.weight, one.cell) for one in found] == [(1.0, (NOON, CHAT))] * 2
        assert store.counters() == counted(48_000, 7.0, draws=2_000, harms=2)
    assert store.pending_prompts(NOON) == []


def test_the_first_result_or_one_with_fewer_draws_changes_nothing_after_it(store: Store) -> None:
    cycle, first = first_result(store)
    best = refined(first, 2_000)
    for result in (
        refined(first, 1_000),
        best,
        first,
        refined(first, 1_000),
        replace(best, hits=(hit(first.prompt, 9),)),
    ):
        store.refine_result(cycle, result, NOON)
    store.write_result(cycle, first, NOON)
    assert [one.estimate for one in store.weighted_estimates(NOON)] == list(best.estimates)
    assert store.counters() == counted(48_000, 7.0, draws=2_000)
    assert [one.tokens for one in store.hits(NOON, 99)] == [(1, 2)]


def test_verdicts_that_the_judge_did_not_give_are_counted_once(store: Store) -> None:
    cycle, first = first_result(store)
    for draws, unreadable in ((600, 40), (700, 55), (800, 50)):
        again = refined(first, draws)
        again = replace(again, estimates=(replace(again.estimates[0], unreadable=unreadable),))
        store.refine_result(cycle, again, NOON)
    assert store.counters().verdicts == {"misuse": (800, 55)}


def test_hits_are_added_and_an_answer_named_again_is_replaced(store: Store) -> None:
    cycle, first = first_result(store)
    prompt = first.prompt
    again = (
        hit(prompt, 1, 2, weight=0.01),
        hit(prompt, 1, 2, harm="insult"),
        hit(prompt, 1, 2, 3),
    )
    store.refine_result(cycle, refined(first, 600, *again), NOON)
    assert sorted((one.harm, one.tokens, one.weight) for one in store.hits(NOON, 99)) == [
        ("insult", (1, 2), 0.1 + 0.2),
        ("misuse", (1, 2), 0.01),
        ("misuse", (1, 2, 3), 0.1 + 0.2),
    ]
    store.refine_result(cycle, refined(first, 700, hit(prompt, 4)), NOON)
    assert len(store.hits(NOON, 99)) == 4


def test_a_harm_that_is_no_longer_judged_goes_with_the_first_estimate(store: Store) -> None:
    cycle, first = first_result(store, "misuse", "insult")
    again = refined(first, 600)
    store.refine_result(cycle, replace(again, estimates=again.estimates[1:]), NOON)
    assert [one.estimate.harm for one in store.weighted_estimates(NOON)] == ["insult"]


def test_a_prompt_displaced_meanwhile_counts_its_further_cost_once(store: Store) -> None:
    cycle, first = first_result(store)
    store.write_intake(batch([sampled(1, 0.25)]), keep=1, now=NOON)
    for _ in range(2):
        store.refine_result(cycle, refined(first, 1_000, hit(first.prompt, 3)), NOON)
    assert store.counters() == counted(24_000, 3.5, draws=500, consumed=2)
    assert store.weighted_estimates(NOON) == []
    assert store.hits(NOON, 99) == []


def test_a_refinement_that_failed_leaves_the_first_estimate(store: Store) -> None:
    cycle, first = first_result(store)
    store.refine_result(cycle, failure(first.prompt, "not_finite"), NOON)
    assert [one.estimate for one in store.weighted_estimates(NOON)] == list(first.estimates)
    assert store.counters() == counted(12_000, 1.75, draws=500)


def test_a_prompt_that_failed_stays_failed(store: Store) -> None:
    one = sampled(0, 0.5)
    store.write_intake(batch([one]), keep=1, now=NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, failure(one.prompt), NOON)
    store.refine_result(cycle, success(one.prompt), NOON)
    assert store.weighted_estimates(NOON) == []
    assert store.counters() == Counters(consumed=1, sampled=1, estimate_failures={"too_long": 1})


def test_a_position_without_a_result_takes_the_refined_one_as_its_first(store: Store) -> None:
    one = sampled(0, 0.5)
    store.write_intake(batch([one]), keep=1, now=NOON)
    cycle = store.begin_cycle(NOON)
    for _ in range(2):
        store.refine_result(cycle, success(one.prompt), NOON)
    assert store.counters() == counted(12_000, 1.75, draws=500)
    assert len(store.weighted_estimates(NOON)) == 1


def test_a_refinement_that_cannot_be_stored_leaves_all_as_it_was(store: Store) -> None:
    cycle, first = first_result(store)
    again = refined(first, 1_000, hit(first.prompt, 3))
    cheaper = replace(again, estimates=tuple(replace(one, tokens=11_999) for one in again.estimates))
    with pytest.raises(ValueError, match="refined at less cost than its first estimate"):
        store.refine_result(cycle, cheaper, NOON)
    with pytest.raises(StoreUnavailable):
        store.refine_result(cycle + 1, again, NOON)
    with pytest.raises(StoreUnavailable):  # the same harm twice
        store.refine_result(cycle, replace(again, estimates=again.estimates * 2), NOON)
    with pytest.raises(ValueError, match="no position"):
        store.refine_result(cycle, replace(again, prompt=replace(first.prompt, position=None)), NOON)
    assert [one.estimate for one in store.weighted_estimates(NOON)] == list(first.estimates)
    assert [one.tokens for one in store.hits(NOON, 99)] == [(1, 2)]
    assert store.counters() == counted(12_000, 1.75, draws=500)

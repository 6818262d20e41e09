"""Results are recorded once, exactly, and weighed by the traffic of their cell."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from support.store_records import (
    CHAT,
    CODE,
    HOUR,
    NOON,
    batch,
    counted,
    estimate,
    failure,
    observation,
    sampled,
    success,
)

from riskmon.errors import StoreUnavailable
from riskmon.records import Counters, Estimate, Flag, PromptResult
from riskmon.store import Store
from riskmon.store.tables import estimates


def test_a_result_counts_once_per_prompt_and_once_per_position(store: Store) -> None:
    store.write_intake(batch(sampled(i, (i + 1) / 10, response="yes") for i in range(4)), keep=9, now=NOON)
    a, b, c, d = (found.prompt for found in store.pending_prompts(NOON))
    cycle = store.begin_cycle(NOON)
    for _ in range(2):
        store.write_result(cycle, success(a, "misuse", "insult"), NOON)
        store.write_result(cycle, success(b, "misuse", "insult"), NOON)
        store.write_observation(observation(a, misuse=True, insult=False), NOON)
        store.write_observation(observation(b, misuse=False), NOON)
        store.write_result(cycle, failure(c), NOON)
        store.write_result(cycle, failure(d, "not_finite"), NOON)
    assert store.counters() == Counters(
        consumed=4,
        sampled=4,
        estimated_prompts=2,
        estimate_failures={"too_long": 1, "not_finite": 1},
        estimate_tokens=24_000,
        estimate_device_seconds=3.5,
        observed={"misuse": (2, 1), "insult": (1, 0)},
        observed_by_stratum={("misuse", CHAT): (2, 1), ("insult", CHAT): (1, 0)},
        verdicts={"misuse": (1_000, 6), "insult": (1_000, 6)},
    )
    assert len(store.weighted_estimates(NOON)) == 4


def test_estimates_come_back_bit_for_bit(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)]), keep=9, now=NOON)
    [found] = store.pending_prompts(NOON)
    plain = estimate(found.prompt)
    bare = replace(plain, harm="none", stderr=None, weight_z=None, khat=float("inf"), flags=(), p=5e-324)
    store.write_result(store.begin_cycle(NOON), PromptResult(found.prompt, (plain, bare)), NOON)
    assert [weighted.estimate for weighted in store.weighted_estimates(NOON)] == [plain, bare]
    assert plain.flags == (Flag.NO_HITS, Flag.TRUNCATED)


def test_an_estimate_whose_judge_was_away_counts_for_nothing(store: Store) -> None:
    """Its p is 0 for want of verdicts: taken as measured, it would make the forecast fall during an outage."""
    store.write_intake(batch([sampled(0, 0.5), sampled(1, 0.6), sampled(2, 0.7)]), keep=9, now=NOON)
    prompts = [found.prompt for found in store.pending_prompts(NOON)]
    cycle = store.begin_cycle(NOON)
    for prompt, unreadable in zip(prompts, (0, 249, 250), strict=True):  # of 500
        read = replace(estimate(prompt), unreadable=unreadable)
        silent = replace(estimate(prompt, "insult", p=0.0), unreadable=500)
        store.write_result(cycle, PromptResult(prompt, (read, silent)), NOON)
    found = store.weighted_estimates(NOON)
    assert [(item.estimate.harm, item.estimate.unreadable) for item in found] == [
        ("misuse", 0),
        ("misuse", 249),
    ]
    assert {item.weight for item in found} == {found[0].population / 2}
    assert [(count.harm, count.target_draws) for count in store.coverage(NOON)] == [("misuse", 100)] * 2
    # The verdicts that could not be read are counted all the same: the alert rests on them.
    assert store.counters().verdicts == {"misuse": (1_500, 499), "insult": (1_500, 1_500)}


def test_every_field_of_an_estimate_has_its_column() -> None:
    from_elsewhere = {"prompt_id", "stratum"}
    assert {c.name for c in estimates.c} - {"sample_id"} == {
        f.name for f in fields(Estimate)
    } - from_elsewhere


def test_weights_share_the_cell_among_its_estimated_prompts(store: Store) -> None:
    chat = [sampled(i, (i + 1) / 10) for i in range(3)]
    code = [sampled(200, 0.5, stratum=CODE), sampled(201, 0.6, stratum=CODE)]
    store.write_intake(counted(90, end=90, sample=chat, stratum=CHAT), keep=3, now=NOON)
    store.write_intake(counted(700, end=790, sample=code, stratum=CODE), keep=3, now=NOON)
    cycle = store.begin_cycle(NOON)
    results = [
        success(chat[0].prompt, "misuse", "insult"),
        success(chat[1].prompt, "misuse"),
        failure(chat[2].prompt),
        success(code[1].prompt, "misuse"),
    ]
    for result in results:
        store.write_result(cycle, result, NOON)
    found = [
        (w.estimate.prompt_id, w.estimate.harm, w.weight, w.cell, w.population)
        for w in store.weighted_estimates(NOON)
    ]
    assert found == [
        ("prompts-0-0", "insult", 90.0, (NOON, CHAT), 90),
        ("prompts-0-0", "misuse", 45.0, (NOON, CHAT), 90),
        ("prompts-0-1", "misuse", 45.0, (NOON, CHAT), 90),
        ("prompts-0-201", "misuse", 700.0, (NOON, CODE), 700),
    ]
    assert store.weighted_estimates(NOON + HOUR) == []


def test_a_prompt_displaced_meanwhile_counts_as_work_without_an_estimate(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5, response="yes")]), keep=1, now=NOON)
    [old] = store.pending_prompts(NOON)
    store.write_intake(batch([sampled(1, 0.25)]), keep=1, now=NOON)
    cycle = store.begin_cycle(NOON)
    for _ in range(2):
        store.write_result(cycle, success(old.prompt), NOON)
        store.write_observation(observation(old.prompt, misuse=True), NOON)
    assert store.weighted_estimates(NOON) == []
    counters = store.counters()
    assert (counters.estimated_prompts, counters.estimate_tokens, counters.observed) == (1, 12_000, {})


def test_a_result_that_cannot_be_stored_leaves_nothing(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)]), keep=1, now=NOON)
    [found] = store.pending_prompts(NOON)
    cycle = store.begin_cycle(NOON)
    with pytest.raises(StoreUnavailable):  # the same harm twice
        store.write_result(cycle, success(found.prompt, "misuse", "misuse"), NOON)
    with pytest.raises(StoreUnavailable):
        store.write_result(cycle + 1, success(found.prompt), NOON)
    with pytest.raises(ValueError, match="no position"):
        store.write_result(cycle, success(replace(found.prompt, position=None)), NOON)
    assert store.pending_prompts(NOON) == [found]
    assert store.counters() == Counters(consumed=1, sampled=1)

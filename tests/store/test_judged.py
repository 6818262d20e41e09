"""Judged production responses: counted once, of the sample alone, and longer than their prompts."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np
from support import store_records
from support.store_records import (
    CHAT,
    CODE,
    HOUR,
    NOON,
    batch,
    counted,
    failure,
    observation,
    refined,
    success,
)

from riskmon.records import JudgedWindow
from riskmon.store import Store

sampled = partial(store_records.sampled, response="yes")


def judge_waiting(store: Store, verdicts: dict[int, dict[str, bool]]) -> None:
    """A cycle over all that waits; verdicts by offset, none for those left out."""
    cycle = store.begin_cycle(NOON)
    for waiting in store.pending_prompts(NOON):
        position = waiting.prompt.position
        assert position is not None
        store.write_result(cycle, success(waiting.prompt), NOON)
        if position.offset in verdicts:
            store.write_observation(observation(waiting.prompt, **verdicts[position.offset]), NOON)


def test_every_window_and_harm_has_its_counts_in_order(store: Store) -> None:
    first = [sampled(i, 0.1 * (i + 1)) for i in range(3)]
    store.write_intake(counted(90, end=3, sample=first), keep=5, now=NOON)
    store.write_intake(
        batch([sampled(3, 0.5, stratum=CODE), sampled(4, 0.5, window=NOON + HOUR)]), keep=5, now=NOON
    )
    both = {"misuse": True, "insult": False}
    judge_waiting(store, {0: both, 1: {"misuse": False, "insult": False}, 4: {"insult": True}})
    later = NOON + HOUR
    assert store.history.judged_windows(NOON, ["insult", "leak"]) == [
        JudgedWindow(NOON, "insult", CHAT, 90, 2, 0),
        JudgedWindow(NOON, "leak", CHAT, 90, 0, 0),
        JudgedWindow(NOON, "misuse", CHAT, 90, 2, 1),
        JudgedWindow(NOON, "insult", CODE, 1, 0, 0),
        JudgedWindow(NOON, "leak", CODE, 1, 0, 0),
        JudgedWindow(NOON, "misuse", CODE, 1, 0, 0),
        JudgedWindow(later, "insult", CHAT, 1, 1, 1),
        JudgedWindow(later, "leak", CHAT, 1, 0, 0),
        JudgedWindow(later, "misuse", CHAT, 1, 0, 0),
    ]
    assert store.history.judged_windows(later) == [JudgedWindow(later, "insult", CHAT, 1, 1, 1)]
    assert store.history.judged_windows(later + timedelta(seconds=1), ["leak"]) == []


def test_results_written_again_and_refined_ones_count_once(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5), sampled(1, 0.6)]), keep=5, now=NOON)
    cycle = store.begin_cycle(NOON)
    one, other = (waiting.prompt for waiting in store.pending_prompts(NOON))
    first = success(one)
    for _ in range(2):
        store.write_observation(observation(one, misuse=True), NOON)
    store.write_result(cycle, first, NOON)
    store.write_result(cycle, first, NOON)
    store.write_result(cycle, failure(other), NOON)
    for draws in (800, 900):
        store.refine_result(cycle, refined(first, draws), NOON)
    assert store.history.judged_windows(NOON) == [JudgedWindow(NOON, "misuse", CHAT, 2, 1, 1)]
    assert store.counters().observed == {"misuse": (1, 1)}


def test_counts_outlive_the_prompts_and_end_with_the_requests(store: Store) -> None:
    for hour in range(2):
        candidates = [sampled(10 * hour + i, 0.1 * (i + 1), window=NOON + hour * HOUR) for i in range(4)]
        store.write_intake(batch(candidates), keep=4, now=NOON)
    judge_waiting(store, {0: {"misuse": True}, 1: {"misuse": False}, 10: {"misuse": True, "insult": False}})
    before = store.history.judged_windows(NOON)
    assert [(w.harm, w.judged, w.harmful) for w in before] == [
        ("insult", 0, 0),
        ("misuse", 2, 1),
        ("insult", 1, 0),
        ("misuse", 1, 1),
    ]
    for _ in range(2):
        store.purge(NOON + HOUR, NOON)
    assert len(store.sampled_prompts(NOON)) == 4
    assert store.history.judged_windows(NOON) == before
    store.purge(NOON + 2 * HOUR, NOON)
    assert store.sampled_prompts(NOON) == []
    assert store.history.judged_windows(NOON) == before
    store.purge(NOON + 2 * HOUR, NOON + HOUR)
    assert store.history.judged_windows(NOON) == before[2:]


def test_a_prompt_that_comes_late_to_a_purged_window_adds_to_its_counts(store: Store) -> None:
    for offset in range(2):
        store.write_intake(batch([sampled(offset, 0.5)]), keep=4, now=NOON)
        judge_waiting(store, {offset: {"misuse": offset == 1}})
        store.purge(NOON + HOUR, NOON)
        assert store.history.judged_windows(NOON) == [
            JudgedWindow(NOON, "misuse", CHAT, offset + 1, offset + 1, offset)
        ]


def test_prompts_judged_and_then_displaced_bias_nothing(store: Store) -> None:
    """All responses of a window's first half are harmful, none of its second; a cycle runs after the first."""
    rng = np.random.default_rng(4)
    keep, half, cells, shares = 8, 40, 12, []
    for cell in range(cells):
        window = NOON + cell * HOUR
        offsets = range(2 * half * cell, 2 * half * (cell + 1))
        candidates = [sampled(i, float(rng.random()), window=window) for i in offsets]
        for part, harmful in ((candidates[:half], True), (candidates[half:], False)):
            store.write_intake(batch(part), keep=keep, now=NOON)
            judge_waiting(store, {i: {"misuse": harmful} for i in offsets})
    windows = store.history.judged_windows(NOON)
    assert {(window.requests, window.judged) for window in windows} == {(2 * half, keep)}
    shares = [window.harmful / window.judged for window in windows]
    # Half of 96 draws without replacement; with those displaced it would be two in three.
    assert abs(np.mean(shares) - 0.5) < 3 * 0.5 / np.sqrt(keep * cells)
    outputs, harmful = store.counters().observed["misuse"]
    assert harmful == keep * cells
    assert harmful / outputs > 0.6


def test_responses_wait_in_the_order_of_their_cells_whatever_is_estimated(store: Store) -> None:
    """Of what has been judged, each cell's part is the first of its priorities among those with a response."""
    small = [sampled(i, p) for i, p in enumerate([0.3, 0.1, 0.2])]
    large = [sampled(100 + i, 0.4 + i / 10, stratum=CODE) for i in range(5)]
    large[1] = store_records.sampled(101, 0.5, stratum=CODE)  # without a response
    store.write_intake(counted(100, end=100, sample=small), keep=9, now=NOON)
    store.write_intake(counted(400, end=500, sample=large, stratum=CODE), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    for waiting in store.pending_prompts(NOON, 2):
        store.write_result(cycle, success(waiting.prompt), NOON)

    def waiting_for_the_judge(limit: int | None = None) -> list[int]:
        found = store.unjudged_responses(NOON, limit)
        return [item.prompt.position.offset for item in found if item.prompt.position is not None]

    order = [100, 1, 102, 2, 103, 104, 0]
    assert waiting_for_the_judge() == order
    assert waiting_for_the_judge(0) == []
    for judged in range(1, len(order) + 1):
        [next_one] = store.unjudged_responses(NOON, 1)
        store.write_observation(observation(next_one.prompt, misuse=False), NOON)
        assert waiting_for_the_judge() == order[judged:]
    assert store.counters().observed == {"misuse": (7, 0)}
    assert len(store.pending_prompts(NOON)) == 6  # being judged is no estimate


def test_a_response_without_a_readable_verdict_is_not_asked_about_again(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)]), keep=5, now=NOON)
    [waiting] = store.unjudged_responses(NOON)
    store.write_observation(observation(waiting.prompt), NOON)
    assert store.unjudged_responses(NOON) == []
    assert store.history.judged_windows(NOON, ["misuse"]) == [JudgedWindow(NOON, "misuse", CHAT, 1, 0, 0)]

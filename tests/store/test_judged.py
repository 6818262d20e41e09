"""Judged production responses: counted once, of the sample alone, and longer than their prompts."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from support.store_records import (
    CHAT,
    CODE,
    HOUR,
    NOON,
    batch,
    counted,
    failure,
    refined,
    sampled,
    success,
)

from riskmon.records import JudgedWindow
from riskmon.store import Store


def judge_waiting(store: Store, verdicts: dict[int, dict[str, bool]]) -> None:
    """A cycle over all that waits; verdicts by offset, none for those left out."""
    cycle = store.begin_cycle(NOON)
    for waiting in store.pending_prompts(NOON):
        position = waiting.prompt.position
        assert position is not None
        observed = verdicts.get(position.offset, {})
        store.write_result(cycle, success(waiting.prompt, *(observed or ["misuse"]), observed=observed), NOON)


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
    first = success(one, observed={"misuse": True})
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

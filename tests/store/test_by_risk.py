"""Sizes, what a cell leaves out, and the weights made from them, on both databases."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.store_records import CHAT, CODE, HOUR, NOON, batch, failure, observation, sampled, success

from riskmon.records import Float32Array, IntakeBatch, SampledPrompt, Stratum
from riskmon.records.scorer import ScorerModel
from riskmon.store import Store
from riskmon.traffic.sampling import BottomK

_example = count()


def sized(offset: int, u: float, size: float, stands_for: float = 1.0, **rest: object) -> SampledPrompt:
    made: SampledPrompt = sampled(offset, u / size, **rest)  # type: ignore[arg-type]
    position = made.prompt.position
    assert position is not None
    prompt = replace(made.prompt, response="an answer")
    return replace(made, prompt=prompt, size=size, stands_for=stands_for)


def scored(candidates: list[SampledPrompt], requests: int | None = None) -> IntakeBatch:
    """A batch that was read with a scorer."""
    read = replace(batch(candidates), scored=True)
    if requests is not None:
        [cell] = read.requests
        read = replace(read, requests={cell: requests})
    return read


def estimate_all(store: Store, limit: int | None = None, failing: frozenset[int] = frozenset()) -> None:
    cycle = store.begin_cycle(NOON)
    for waiting in store.pending_prompts(NOON, limit):
        position = waiting.prompt.position
        assert position is not None
        fails = position.offset in failing
        store.write_result(cycle, failure(waiting.prompt) if fails else success(waiting.prompt), NOON)


def weights(store: Store) -> dict[int, float]:
    """Weight by offset."""
    offsets = {p.prompt.id: p.prompt.position for p in store.sampled_prompts(NOON)}
    found = {}
    for item in store.weighted_estimates(NOON):
        position = offsets[item.estimate.prompt_id]
        assert position is not None
        found[position.offset] = item.weight
    return found


def test_a_prompt_stands_for_the_inverse_of_its_chance(store: Store) -> None:
    """Priorities .1, .2, .5, .8 of sizes 4, 1, .5, 2; three are kept, so tau is .8."""
    kept = [sized(0, 0.4, 4.0), sized(1, 0.2, 1.0), sized(2, 0.25, 0.5)]
    store.write_intake(scored([*kept, sized(3, 1.6, 2.0)], requests=9), keep=3, now=NOON)
    assert [p.size for p in store.pending_prompts(NOON)] == [4.0, 1.0, 0.5]
    estimate_all(store)
    assert weights(store) == pytest.approx({0: 1.0, 1: 1 / 0.8, 2: 1 / 0.4})
    assert {item.calibrated for item in store.weighted_estimates(NOON)} == {False}
    assert {item.population for item in store.weighted_estimates(NOON)} == {9}


def test_the_first_that_were_worked_on_are_a_sample_with_a_tau_of_their_own(store: Store) -> None:
    kept = [sized(0, 0.4, 4.0), sized(1, 0.2, 1.0), sized(2, 0.25, 0.5)]
    store.write_intake(scored([*kept, sized(3, 1.6, 2.0)], requests=9), keep=3, now=NOON)
    estimate_all(store, limit=2)
    assert weights(store) == pytest.approx({0: 1.0, 1: 1 / 0.5})


def test_failed_prompts_are_missing_at_random(store: Store) -> None:
    candidates = [sized(i, 0.1 * (i + 1), 1.0 + i % 2) for i in range(6)]
    store.write_intake(scored([*candidates, sized(9, 0.9, 1.0)], requests=20), keep=6, now=NOON)
    estimate_all(store, failing=frozenset({1, 4}))
    tau = 0.9
    assert weights(store) == pytest.approx({i: 6 / 4 / min(1.0, (1.0 + i % 2) * tau) for i in (0, 2, 3, 5)})


def test_where_nothing_was_left_out_each_stands_for_itself(store: Store) -> None:
    store.write_intake(scored([sized(0, 0.4, 4.0), sized(1, 0.2, 0.1)]), keep=3, now=NOON)
    estimate_all(store)
    assert weights(store) == {0: 1.0, 1: 1.0}


def test_without_a_scorer_all_is_as_ever(store: Store) -> None:
    store.write_intake(
        replace(batch([sampled(i, 0.1 * (i + 1)) for i in range(5)]), requests={(NOON, CHAT): 70}),
        keep=3,
        now=NOON,
    )
    estimate_all(store, failing=frozenset({1}))
    assert weights(store) == {0: 35.0, 2: 35.0}
    assert all(item.calibrated for item in store.weighted_estimates(NOON))


def test_messages_read_on_behalf_of_many_add_up_to_the_requests(store: Store) -> None:
    """Two ranges were read with chances of 1/2 and 1/8; no scorer."""
    candidates = [sized(i, 0.3 + 0.02 * i, a, a) for i, a in enumerate([2.0, 8.0, 8.0, 2.0, 8.0])]
    store.write_intake(replace(batch(candidates), requests={(NOON, CHAT): 28}), keep=4, now=NOON)
    estimate_all(store)
    found = weights(store)
    assert sum(found.values()) == pytest.approx(28)
    assert len({round(weight, 9) for weight in found.values()}) <= 2


def test_a_cell_once_read_with_a_scorer_stays_so(store: Store) -> None:
    store.write_intake(scored([sized(0, 0.4, 4.0)]), keep=3, now=NOON)
    store.write_intake(batch([sampled(1, 0.6), sampled(2, 0.5, stratum=CODE)]), keep=3, now=NOON)
    estimate_all(store)
    assert {item.cell[1]: item.calibrated for item in store.weighted_estimates(NOON)} == {
        CHAT: False,
        CODE: True,
    }


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    readers=st.integers(1, 3),
    keep=st.integers(1, 4),
    lowered_at=st.integers(0, 12),
    restarts=st.integers(0, 3),
)
def test_tau_is_exact_however_the_stream_is_cut(
    store: Store, seed: int, readers: int, keep: int, lowered_at: int, restarts: int
) -> None:
    """Several readers, each with thresholds of its own, restarts that begin from the store's, and k lowered once."""
    rng = np.random.default_rng(seed)
    topic = f"topic-{next(_example)}"
    stratum = Stratum((("example", topic),))
    cell = (NOON, stratum)
    u, sizes = rng.random(60), np.exp(rng.normal(0, 1, 60))
    priorities = u / sizes
    lower = max(1, keep - 1)
    k = keep
    kept: list[BottomK[None]] = [BottomK(k + 1) for _ in range(readers)]
    next_offset = [0] * readers
    for turn, first in enumerate(range(0, 60, 5)):
        if turn == lowered_at:
            k = lower
            kept = [BottomK(k + 1, store.thresholds(k, NOON).get(cell, np.inf)) for _ in range(readers)]
        reader = int(rng.integers(readers))
        if turn < restarts:
            kept[reader] = BottomK(k + 1, store.thresholds(k, NOON).get(cell, np.inf))
        own: BottomK[int] = BottomK(k + 1, kept[reader].threshold)
        for i in range(first, first + 5):
            own.offer(priorities[i], i)
        candidates = []
        for priority, i in own:
            kept[reader].offer(priority, None)
            candidates.append(
                replace(
                    sampled(i, priority, partition=reader, topic=topic, stratum=stratum), size=float(sizes[i])
                )
            )
        next_offset[reader] = first + 5
        store.write_intake(
            IntakeBatch(
                consumed=5,
                requests={cell: 5},
                sample=tuple(candidates),
                next_offsets={(topic, reader): first + 5},
                scored=True,
            ),
            keep=k,
            now=NOON,
        )
    in_order = np.sort(priorities)
    found = [p for p in store.sampled_prompts(NOON) if p.prompt.stratum == stratum]
    assert sorted(p.priority for p in found) == list(in_order[:k])
    assert store.thresholds(k, NOON)[cell] == in_order[k]


def test_the_sum_over_a_cell_is_unbiased_through_the_store(store: Store) -> None:
    """A scorer that is wrong about everything: the more harm, the smaller. 30 cells of 40 prompts, 8 kept."""
    rng = np.random.default_rng(11)
    harm = np.exp(rng.normal(0, 1.5, 40))
    sizes = np.clip(1 / harm, 0.1, 10.0)
    totals: dict[object, float] = defaultdict(float)
    for hour in range(30):
        window = NOON + hour * HOUR
        u = rng.random(40)
        members = [sized(40 * hour + i, u[i], sizes[i], window=window) for i in range(40)]
        store.write_intake(scored(members), keep=8, now=NOON)
    estimate_all(store)
    offsets = {(p.window_start, p.prompt.id): p.prompt.position for p in store.sampled_prompts(NOON)}
    for item in store.weighted_estimates(NOON):
        position = offsets[item.cell[0], item.estimate.prompt_id]
        assert position is not None
        totals[item.cell] += item.weight * harm[position.offset % 40]
    found = np.array(list(totals.values()))
    assert len(found) == 30
    assert abs(found.mean() - harm.sum()) < 3.5 * found.std(ddof=1) / np.sqrt(len(found))


def test_a_scorer_comes_back_as_it_went_in_and_replaces_the_last(store: Store) -> None:
    assert store.scorer() is None
    coefficients: Float32Array = np.array([0.5, -1.25, 3e-7], dtype=np.float32)
    store.write_scorer(ScorerModel(NOON, 900, 0.5, 0.8, coefficients, -2.5, 1.5, 0.25))
    found = store.scorer()
    assert found is not None
    assert found.coefficients is not None
    assert found.coefficients.tolist() == coefficients.tolist()
    assert replace(found, coefficients=None).__repr__() == repr(
        ScorerModel(NOON, 900, 0.5, 0.8, None, -2.5, 1.5, 0.25)
    )
    assert store.scorer(NOON) is None
    store.write_scorer(ScorerModel(NOON + HOUR, 7))
    later = store.scorer(NOON)
    assert later is not None
    assert not later.helps


def test_prompts_without_a_score_are_counted_by_reason(store: Store) -> None:
    for _ in range(2):
        store.write_intake(
            IntakeBatch(scored=True, scorer_failures={"raised": 2, "negative": 1}), keep=3, now=NOON
        )
    assert store.counters().scorer_failures == {"raised": 4, "negative": 2}


def test_judged_responses_of_risky_prompts_count_for_what_they_stand_for(store: Store) -> None:
    """Six were judged, of sizes 10 and 1/2, and the three large ones flagged: half of the judged, not of all."""
    members = [sized(i, 0.01 * (i + 1), 10.0 if i < 3 else 0.5) for i in range(6)]
    store.write_intake(scored([*members, sized(9, 0.9, 2.0)], requests=30), keep=6, now=NOON)
    for waiting in store.sampled_prompts(NOON):
        position = waiting.prompt.position
        assert position is not None
        store.write_observation(observation(waiting.prompt, misuse=position.offset < 3), NOON)
    # Responses are judged whether or not their prompts are estimated, and further.
    estimate_all(store, limit=2)
    tau = 0.45
    weights_of = np.array([1.0] * 3 + [1 / (0.5 * tau)] * 3)
    share = 3 / weights_of.sum()
    [window] = store.history.judged_windows(NOON)
    assert window.harmful / window.judged == pytest.approx(share)
    assert window.judged < 6
    store.purge(NOON + HOUR, NOON)
    [kept] = store.history.judged_windows(NOON)
    assert (kept.judged, kept.harmful) == pytest.approx((window.judged, window.harmful))

"""The sample is uniform, mergeable, and has the inclusion probability it claims."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from riskmon.traffic.sampling import BottomK, hash_key, priority


def test_priorities_are_pinned() -> None:
    # A release that changed them would choose other prompts on a replay.
    assert priority(b"riskmon", "prompts", 3, 42) == 0.12708057945511786


def test_priorities_are_uniform_and_unrelated_between_keys() -> None:
    first = np.array([priority(b"one", "prompts", 0, n) for n in range(20_000)])
    second = np.array([priority(b"two", "prompts", 0, n) for n in range(20_000)])
    assert first.min() > 0
    assert first.max() < 1
    assert stats.kstest(first, "uniform").pvalue > 0.001
    assert abs(stats.pearsonr(first, second).statistic) < 0.03
    assert abs(stats.pearsonr(first[:-1], first[1:]).statistic) < 0.03


def test_every_part_of_the_position_counts() -> None:
    priorities = {
        priority(key, topic, partition, offset)
        for key in (b"a", b"b")
        for topic in ("t", "t1")
        for partition in (1, 11)
        for offset in (1, 11)
    }
    assert len(priorities) == 16


def test_secrets_of_any_length_make_keys() -> None:
    assert hash_key("riskmon") == b"riskmon"
    assert len(hash_key("x" * 65)) == 64
    assert hash_key("x" * 65) != hash_key("x" * 66)


def test_each_of_n_is_included_with_probability_k_over_n() -> None:
    n, k, rounds = 10, 3, 4000
    included = np.zeros(n)
    for round_ in range(rounds):
        sample: BottomK[int] = BottomK(k)
        for offset in range(n):
            sample.offer(priority(b"%d" % round_, "prompts", 0, offset), offset)
        included[[item for _, item in sample]] += 1
    standard_error = np.sqrt(0.3 * 0.7 / rounds)
    assert included.sum() == k * rounds
    np.testing.assert_allclose(included / rounds, k / n, atol=4.5 * standard_error)


def test_a_cell_smaller_than_k_is_kept_whole() -> None:
    sample: BottomK[str] = BottomK(5)
    for rank, item in ((0.9, "c"), (0.1, "a"), (0.4, "b")):
        sample.offer(rank, item)
    assert list(sample) == [(0.1, "a"), (0.4, "b"), (0.9, "c")]
    assert sample.threshold == math.inf


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.0001, 0.9999), max_size=60, unique=True),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_the_sample_of_two_samples_is_the_sample_of_all(ranks: list[float], k: int, random: object) -> None:
    whole, left, right, merged = (BottomK[int](k) for _ in range(4))
    for item, rank in enumerate(ranks):
        whole.offer(rank, item)
        (left if random.random() < 0.3 else right).offer(rank, item)  # type: ignore[attr-defined]
    for rank, item in [*right, *left]:
        merged.offer(rank, item)
    assert list(merged) == list(whole) == sorted((rank, item) for item, rank in enumerate(ranks))[:k]
    assert merged.threshold == whole.threshold


def test_a_known_threshold_leaves_only_what_can_still_matter() -> None:
    sample: BottomK[str] = BottomK(2, below=0.5)
    for rank, item in ((0.5, "too late"), (0.3, "in"), (0.7, "too late"), (0.2, "in"), (0.1, "in")):
        sample.offer(rank, item)
    assert [rank for rank, _ in sample] == [0.1, 0.2]
    assert sample.threshold == 0.2


def test_items_of_equal_priority_are_not_compared() -> None:
    sample: BottomK[object] = BottomK(2)
    for _ in range(4):
        sample.offer(0.5, object())
    assert len(sample) == 2

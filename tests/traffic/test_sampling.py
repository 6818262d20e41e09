"""The sample is uniform, mergeable, and has the inclusion probability it claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from riskmon.traffic.sampling import BottomK, aes_ranks, hash_key, priorities, priority


def test_priorities_are_pinned() -> None:
    # A release that changed them would choose other prompts on a replay.
    assert priority(b"riskmon", "prompts", 3, 42) == 0.8368405879488275


def test_the_hash_is_aes_of_the_position() -> None:
    # FIPS 197, appendix B: the block is (partition, offset), the key that of the example.
    key, block = (
        bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"),
        bytes.fromhex("3243f6a8885a308d313198a2e0370734"),
    )
    encrypted = int.from_bytes(bytes.fromhex("3925841d02dc09fbdc118597196a0b32")[:8])
    partition, offset = int.from_bytes(block[:8]), int.from_bytes(block[8:])
    [rank] = aes_ranks(key, np.array([partition], np.uint64), np.array([offset], np.uint64))
    assert rank == ((encrypted >> 11) | 1) / 2**53


def test_priorities_are_odd_multiples_within_zero_and_one() -> None:
    multiples = priorities(b"key", "prompts", 7, np.arange(1_000)) * 2**53
    assert np.all(multiples % 2 == 1)
    assert np.all((multiples > 0) & (multiples < 2**53))


def test_hashing_together_is_hashing_alone() -> None:
    partitions, offsets = np.array([0, 0, 5]), np.array([1, 2**40, 1])
    together = priorities(b"key", "prompts", partitions, offsets).tolist()
    assert together == [
        priority(b"key", "prompts", int(p), int(o)) for p, o in zip(partitions, offsets, strict=True)
    ]
    assert len(set(together)) == 3


def test_priorities_are_uniform_and_unrelated_between_keys() -> None:
    first = priorities(b"one", "prompts", 0, np.arange(20_000))
    second = priorities(b"two", "prompts", 0, np.arange(20_000))
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


def kept_by_risk(sizes: np.ndarray, key: bytes, k: int) -> tuple[list[int], np.ndarray]:
    """Which of n are kept, and what each stands for."""
    sample: BottomK[int] = BottomK(k + 1)
    for offset, size in enumerate(sizes):
        sample.offer(priority(key, "prompts", 0, offset) / size, offset)
    *kept, (tau, _) = sample
    chosen = [item for _, item in kept]
    return chosen, 1 / np.minimum(1.0, sizes[chosen] * tau)


@pytest.mark.parametrize("scorer", ["good", "useless", "wrong"])
def test_sums_are_unbiased_whatever_the_scorer(scorer: str) -> None:
    """Over 4,000 keys, z below 4: a sum that is right fails once in 16,000 runs. Also of a part that scores low."""
    rng, n, k, rounds = np.random.default_rng(1), 60, 12, 4_000
    harm = np.exp(rng.normal(0, 1.5, n))
    sizes = np.clip(
        {"good": harm, "useless": np.exp(rng.normal(0, 1, n)), "wrong": 1 / harm}[scorer], 0.1, 10.0
    )
    low = sizes <= np.quantile(sizes, 0.2)
    sums = np.zeros((rounds, 3))
    for round_ in range(rounds):
        chosen, weights = kept_by_risk(sizes, b"%d" % round_, k)
        sums[round_] = (weights @ harm[chosen], weights.sum(), weights @ low[chosen])
    truth = np.array([harm.sum(), n, low.sum()])
    z = (sums.mean(axis=0) - truth) / (sums.std(axis=0, ddof=1) / np.sqrt(rounds))
    assert np.abs(z).max() < 4
    # The premise: as if all were sampled alike, the sum of a scorer that tells something would be far off.
    naive = np.mean([harm[kept_by_risk(sizes, b"%d" % r, k)[0]].mean() * n for r in range(400)])
    assert scorer == "useless" or abs(naive / harm.sum() - 1) > 0.3


def test_the_variance_of_a_sum_is_what_its_own_weights_tell() -> None:
    """Duffield, Lund & Thorup 2007: sum w (w - 1) x^2 is an unbiased estimate of it, as if covariances were zero."""
    rng, n, k, rounds = np.random.default_rng(2), 60, 12, 3_000
    harm = np.exp(rng.normal(0, 1, n))
    sizes = np.clip(harm * np.exp(rng.normal(0, 0.5, n)), 0.1, 10.0)
    sums, told = np.zeros(rounds), np.zeros(rounds)
    for round_ in range(rounds):
        chosen, weights = kept_by_risk(sizes, b"v%d" % round_, k)
        sums[round_] = weights @ harm[chosen]
        told[round_] = (weights * (weights - 1)) @ harm[chosen] ** 2
    assert told.mean() == pytest.approx(sums.var(), rel=0.1)

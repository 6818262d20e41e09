"""Rounded sizes: few, close, and kept where they are one already; and what they mean for the rows that fit."""

from types import SimpleNamespace

import pytest

from riskmon.estimate.engines.local.capacity import Memory, rows_that_fit
from riskmon.estimate.engines.local.fixed.layout import PADDING, lay_out, rounded_width
from riskmon.estimate.engines.local.fixed.sizes import round_down, round_up


@pytest.mark.parametrize(("least", "parts", "most"), [(8, 2, 1.5), (32, 1, 2.0), (64, 8, 1.125)])
def test_sizes_are_close_few_and_stable(least, parts, most):
    sizes = [round_up(n, least=least, parts=parts) for n in range(1, 5000)]
    assert all(n <= size for n, size in enumerate(sizes, 1))
    assert all(size < most * n for n, size in enumerate(sizes, 1) if n > least)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= parts * 10
    for size in set(sizes):
        assert round_up(size, least=least, parts=parts) == size == round_down(size, least=least, parts=parts)


def test_rounding_down_is_the_next_lower_size():
    assert [round_down(n, least=8, parts=2) for n in (1, 7, 8, 11, 12, 15, 47, 48)] == [
        1,
        7,
        8,
        8,
        12,
        12,
        32,
        48,
    ]


def test_fixed_shapes_leave_room_for_what_they_are_rounded_up_by():
    context = SimpleNamespace(
        nbytes=500 * 131072, length=500
    )  # 128 KiB a token, as an 8B model takes in bf16
    plain, fixed = (
        rows_that_fit(Memory(50 * 2**30, None), context, 3, 128256, 150, shared=True, fixed=fixed)
        for fixed in (False, True)
    )
    assert fixed == round_up(fixed, least=8, parts=2)
    rounded = PADDING * 3 * (192 * 131072 + 12 * 128256) + 24 * 128256
    assert fixed * rounded <= 50 * 2**30 < 1.5 * fixed * rounded
    assert fixed < plain


def test_a_model_that_cannot_share_is_not_rounded():
    context = SimpleNamespace(nbytes=500 * 131072, length=500)
    found = [
        rows_that_fit(Memory(50 * 2**30, None), context, 1, 128256, 150, shared=False, fixed=fixed)
        for fixed in (False, True)
    ]
    assert found[0] == found[1] > 1


@pytest.mark.parametrize(
    "counts",
    [
        [32] * 8,
        [20, 236],
        [1] * 7 + [249],
        [3, 50, 50, 50, 50, 50],
        [100, 1],
        [17] * 15,
        [64, 64, 64],
    ],
)
def test_layouts_hold_all_rows_with_few_empty_slots(counts):
    layout = lay_out(counts)
    assert sum(-(-count // layout.height) for count in counts) <= layout.width
    assert rounded_width(counts, layout.height) == layout.width
    assert sum(counts) <= layout.slots <= PADDING * sum(counts)


def test_rows_behind_one_context_are_one_column():
    assert [lay_out([n]).width for n in (1, 8, 100, 130, 256, 500)] == [1] * 6


def test_equal_numbers_behind_several_contexts_are_a_column_each():
    assert lay_out([32] * 8) == (8, 32)

"""Every offset of a segment is read with the same probability, wherever ranges and partitions begin and end."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskmon.traffic.seek.design import Design, Span, place_ranges


def offsets(design: Design) -> list[tuple[int, int]]:
    """(partition, offset) of everything that is read."""
    return [
        (piece.span.partition, offset)
        for piece in design.pieces
        for offset in range(piece.span.begin, piece.span.end)
    ]


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    ranges=st.integers(1, 9),
    length=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_what_is_read_lies_in_the_spans_once_and_as_often_as_the_design_says(
    sizes: list[int], ranges: int, length: int, seed: int
) -> None:
    spans = [Span(p, 100 * p, 100 * p + size) for p, size in enumerate(sizes)]
    design = place_ranges(spans, ranges, length, np.random.default_rng(seed))
    there = {(span.partition, offset) for span in spans for offset in range(span.begin, span.end)}
    read = offsets(design)
    assert len(set(read)) == len(read)
    assert set(read) <= there
    assert design.offsets == sum(sizes)
    per_segment = Counter[int]()
    for piece in design.pieces:
        assert len(piece.span) > 0
        per_segment[piece.segment] += len(piece.span)
    assert [per_segment[h] for h in range(len(design.taken))] == design.taken.tolist()
    if sum(sizes) <= ranges * length:
        assert design.exact
        assert set(read) == there
    else:
        assert len(design.taken) == ranges
        assert np.ptp(design.lengths) <= 1


def test_every_offset_of_a_segment_has_the_same_chance_at_its_edges_and_across_partitions_too() -> None:
    spans, rng, runs = [Span(0, 5, 16), Span(3, 90, 102)], np.random.default_rng(1), 10_000
    drawn = [place_ranges(spans, 2, 4, rng) for _ in range(runs)]
    assert drawn[0].lengths.tolist() == [11, 12]
    seen = Counter(offset for design in drawn for offset in offsets(design))
    for partition, segment in (0, 11), (3, 12):
        chances = [n / runs for (p, _), n in seen.items() if p == partition]
        assert len(chances) == segment
        assert chances == pytest.approx([4 / segment] * segment, abs=0.02)


def test_a_range_is_one_stretch_unless_it_meets_the_end_of_its_segment_or_a_partition() -> None:
    """Two partitions of 500 in five segments: the middle one lies across the border."""
    spans = [Span(0, 0, 500), Span(1, 7_000, 7_500)]
    kinds = Counter[str]()
    for seed in range(300):
        design = place_ranges(spans, 5, 20, np.random.default_rng(seed))
        parts = sorted(
            (piece.span for piece in design.pieces if piece.segment == 2), key=lambda s: s.partition
        )
        if len(parts) == 1:
            kinds["whole"] += 1
        elif parts[0].end == 500 and parts[1].begin == 7_000:
            kinds["across"] += 1
        else:
            assert {(parts[0].begin, parts[1].end)} == {(400, 7_100)}
            kinds["around"] += 1
    assert min(kinds[kind] for kind in ("whole", "across", "around")) > 10
    assert kinds["whole"] > 150


def test_no_new_offsets_are_nothing_to_read() -> None:
    design = place_ranges([Span(0, 8, 8)], 50, 20, np.random.default_rng(1))
    assert (design.offsets, design.pieces, design.exact) == (0, (), True)

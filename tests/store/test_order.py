"""The order of estimation, on paper and as a property."""

from __future__ import annotations

from collections import defaultdict
from math import sqrt

from hypothesis import given
from hypothesis import strategies as st

from riskmon.records import Position
from riskmon.store.order import Candidate, estimation_order


def cell(
    cell_id: int, population: int, priorities: list[float], done: frozenset[int] = frozenset()
) -> list[Candidate]:
    return [
        Candidate(100 * cell_id + i, cell_id, population, priority, Position("t", cell_id, i), i in done)
        for i, priority in enumerate(priorities)
    ]


def ids(candidates: list[Candidate]) -> list[int]:
    return [candidate.sample_id for candidate in estimation_order(candidates)]


def test_four_times_the_traffic_gives_twice_the_turns() -> None:
    small = cell(1, 100, [0.3, 0.1, 0.2])  # turns 0.05, 0.15, 0.25 for 101, 102, 100
    large = cell(2, 400, [0.4, 0.5, 0.6, 0.7, 0.8])  # turns 0.025, 0.075, 0.125, 0.175, 0.225
    assert ids(small + large) == [200, 101, 201, 202, 102, 203, 204, 100]
    assert ids(large[::-1] + small[::-1]) == ids(small + large)


def test_done_prompts_take_up_their_ranks() -> None:
    # Ranks of the small cell: 101 (done), 102, 100; so 102 stands at 0.15, not at 0.05.
    small = cell(1, 100, [0.3, 0.1, 0.2], done=frozenset({1}))
    large = cell(2, 400, [0.4, 0.5, 0.6])
    assert ids(small + large) == [200, 201, 202, 102, 100]


def test_a_newcomer_of_smaller_priority_goes_before_its_cell_mates() -> None:
    assert ids(cell(1, 9, [0.5, 0.6, 0.9, 0.1], done=frozenset({0, 1}))) == [103, 102]


def test_ties_fall_to_the_position() -> None:
    assert ids(cell(1, 9, [0.5, 0.5, 0.5])[::-1]) == [100, 101, 102]


CELLS = st.lists(
    st.tuples(st.integers(1, 10_000), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8)), max_size=5
)


@given(CELLS, st.integers(0, 40))
def test_every_prefix_is_a_bottom_k_of_every_cell(cells: list[tuple[int, list[float]]], stop: int) -> None:
    candidates = [
        c for i, (population, priorities) in enumerate(cells) for c in cell(i, population, priorities)
    ]
    taken: dict[int, list[Candidate]] = defaultdict(list)
    order = estimation_order(candidates)
    assert sorted(c.sample_id for c in order) == sorted(c.sample_id for c in candidates)
    for candidate in order[:stop]:
        taken[candidate.cell_id].append(candidate)
    for cell_id, chosen in taken.items():
        ranked = sorted(
            (c for c in candidates if c.cell_id == cell_id), key=lambda c: (c.priority, c.position)
        )
        assert chosen == ranked[: len(chosen)]


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 60))
def test_turns_are_shared_in_proportion_to_the_root_of_traffic(a: int, b: int, stop: int) -> None:
    priorities = [i / 100 for i in range(1, 61)]
    order = estimation_order(cell(0, a, priorities) + cell(1, b, priorities))[:stop]
    got = sum(1 for candidate in order if candidate.cell_id == 0)
    assert abs(got - stop * sqrt(a) / (sqrt(a) + sqrt(b))) <= 1

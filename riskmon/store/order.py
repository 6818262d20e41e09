"""In which order sampled prompts are estimated, so that a cycle may stop anywhere.

Inside a cell prompts go by priority, so what is done is again a bottom-k sample of the cell, only with a smaller k.
Across cells the prompt of rank i (from 0, prompts already done included) stands at

    (i + 1/2) / sqrt(N),      N = requests of the cell,

and the smallest goes first. At any stop at level t each cell has had about t * sqrt(N) prompts: power allocation
with exponent 1/2, a compromise between precision for the total (which asks for N) and for each cell (which asks for
the same number everywhere). Source: Bankier 1988, "Power allocations: determining sample sizes for subnational areas".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from riskmon.records import Position


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sampled prompt as far as its turn is concerned.

    Attributes:
        sample_id, cell_id: row numbers.
        population: requests counted in the cell, at least 1.
        priority, position: rank inside the cell; position breaks ties.
        done: whether it has a result.
    """

    sample_id: int
    cell_id: int
    population: int
    priority: float
    position: Position
    done: bool


def estimation_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates not yet done, first turn first; the done ones only take up their ranks.

    Every prompt sampled in a cell must be among `candidates`, in any order.
    """
    by_cell: defaultdict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_cell[candidate.cell_id].append(candidate)
    turns = [
        ((rank + 0.5) / sqrt(candidate.population), candidate.priority, candidate.position, candidate)
        for cell in by_cell.values()
        for rank, candidate in enumerate(sorted(cell, key=lambda c: (c.priority, c.position)))
        if not candidate.done
    ]
    turns.sort(key=lambda turn: turn[:3])
    return [candidate for *_, candidate in turns]

"""Estimates with the traffic they stand for.

Of a cell with N requests a sample was kept, n of its prompts were worked on, and m of these have an estimate of the
harm. `inclusion` says how many requests d_i each of the n stands for by design. A prompt that failed is taken as
missing at random, and so is one whose judge was away: an estimate counts if more than half of its answers were read.
While the cell's window is open, its newest requests are represented by the earlier ones until their own prompts are
estimated.

    read without a scorer    w_i = N d_i / sum_j d_j      N / m where all were read alike: sizes say nothing of risk
    read with a scorer       w_i = (n / m) d_i            Horvitz & Thompson 1952

**What is unbiased.** With a scorer the sum of w_i x_i over a cell has the cell's total of x as its mean, for every x
and every scorer, good, useless or wrong, as long as a size does not depend on the hash of its own request. So has sum
w_i, which is N on average only. Weights are therefore *not* scaled to add up to N, and a forecast divides by the
known N (`riskmon.forecast.harm_rate`), which keeps it unbiased. Scaled (a ratio, Hajek 1971), low scores that happen
to be many would pull the mean down with them just where a good scorer makes sum w_i p_i nearly certain. Bias and
variance of the mean of p, in parts of the truth, 4,000 requests, lognormal p of log-sd 2, floor 0.1 (`python
tests/benchmarks/bench_risk_sampling.py --ratio`):

    scorer       kept  sum: bias  deviation  ratio: bias  deviation  alike: deviation
    good           20     -0.000       0.43       +0.149       0.65              1.07
    good          200     -0.001       0.11       +0.012       0.15              0.33
    useless        20     -0.004       1.81       +0.002       1.71              1.04
    useless       200     -0.000       0.54       -0.001       0.53              0.33
    adversarial    20     +0.017       3.33       -0.157       2.51              1.08
    adversarial   200     +0.002       0.97       -0.015       0.94              0.33

The ratio gains where the scorer is useless, and then none should be in use (`riskmon.scoring`).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, func, select

from riskmon.records import Estimate, Flag, Stratum, WeightedEstimate
from riskmon.store.inclusion import frontiers, requests_behind
from riskmon.store.results import ESTIMATE_VALUES, JUDGED
from riskmon.store.tables import cells, estimates, samples, strata


def read(connection: Connection, since: datetime) -> list[WeightedEstimate]:
    """Judged estimates of windows that start at `since` or later, by cell, then by priority, then by harm."""
    recent = cells.c.window_start >= since
    frontier = frontiers(recent)
    query = (
        select(
            estimates,
            samples.c.prompt_id,
            samples.c.cell_id,
            samples.c.size,
            samples.c.stands_for,
            cells.c.window_start,
            cells.c.requests,
            cells.c.scored,
            strata.c.key,
            frontier.c.reached,
            frontier.c.tau,
            func.count().over(partition_by=(samples.c.cell_id, estimates.c.harm)).label("estimated"),
        )
        .join_from(estimates, samples)
        .join(cells)
        .join(strata)
        .join(frontier, frontier.c.cell_id == samples.c.cell_id)
        .where(recent, JUDGED)
        .order_by(cells.c.window_start, strata.c.id, samples.c.priority, samples.c.id, estimates.c.harm)
    )
    rows = connection.execute(query).all()
    behind = [requests_behind(row.size, row.stands_for, row.tau) for row in rows]
    largest: dict[tuple[int, str], float] = defaultdict(float)
    for row, own in zip(rows, behind, strict=True):
        largest[row.cell_id, row.harm] = max(largest[row.cell_id, row.harm], own)
    # In units of the largest of a cell, so that equal ones add up to a whole number.
    together: dict[tuple[int, str], float] = defaultdict(float)
    for row, own in zip(rows, behind, strict=True):
        together[row.cell_id, row.harm] += own / largest[row.cell_id, row.harm]
    found = []
    for row, own in zip(rows, behind, strict=True):
        group = row.cell_id, row.harm
        stratum = Stratum.from_key(row.key)
        estimate = Estimate(
            prompt_id=row.prompt_id,
            stratum=stratum,
            flags=tuple(Flag(flag) for flag in row.flags),
            **{name: getattr(row, name) for name in ESTIMATE_VALUES},
        )
        found.append(
            WeightedEstimate(
                estimate=estimate,
                weight=own * row.reached / row.estimated
                if row.scored
                else row.requests * (own / largest[group]) / together[group],
                cell=(row.window_start, stratum),
                population=row.requests,
                calibrated=not row.scored,
            )
        )
    return found

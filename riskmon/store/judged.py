"""Judged production responses, per counting window, stratum and harm.

A sampled prompt whose message carried the deployed model's response has that judged (`observed`), whether the prompt is
estimated or not. The verdict is kept beside the prompt, and the back-test reads counts of them: of a cell with N
requests, n judged responses and k harmful.

**Effective numbers.** Where prompts are sampled by risk, the judged ones are no fair sample: k / n would be the share
among risky prompts. There k / n is the share by weight (`inclusion`), and n the number of equally weighted responses
that would tell as much (`riskmon.statistics.effective_trials`), at most N. Neither is whole then.

**Whose verdicts count.** Those of the prompts that are in the sample. The final sample of a cell is one of all its
requests (`intake`), responses are judged in its own order, and so n of N are a sample by the same rule. A prompt that
was judged while its window was open and then displaced is in no such sample: it stood for the earlier part of the
window. Its verdict goes with it, though it stays in the counters of observed outputs as work done. A response that
the judge could not read and a message without a response are taken as missing at random; and a cell whose later
responses were never reached leans towards its earlier ones.

**Counts outlive the text.** Before prompts are purged their verdicts are added to the counts of their cell, which live
as long as its number of requests. Verdicts are written once per position and a refined estimate brings none, so none
counts twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np
from sqlalchemy import ColumnElement, Connection, case, func, select

from riskmon.records import JudgedWindow, Stratum
from riskmon.records.observed import ResponseVerdict
from riskmon.statistics import effective_counts
from riskmon.store.inclusion import frontiers, requests_behind
from riskmon.store.tables import cells, judged, samples, strata, verdicts
from riskmon.store.upsert import insert


def add(connection: Connection, sample_id: int, observed: Mapping[str, ResponseVerdict]) -> None:
    """Stores what the judges said of the response to a sampled prompt, by harm."""
    if observed:
        connection.execute(
            insert(connection, verdicts),
            [
                {
                    "sample_id": sample_id,
                    "harm": harm,
                    "harmful": verdict.harmful,
                    "uncovered": verdict.uncovered,
                }
                for harm, verdict in observed.items()
            ],
        )


def fold(connection: Connection, before: datetime) -> None:
    """Adds the verdicts of windows that start before a moment to their cells' counts; their samples go next."""
    rows = [
        {"cell_id": cell_id, "harm": harm, "judged": read, "harmful": harmful}
        for (cell_id, harm), (read, harmful) in _live(connection, cells.c.window_start < before).items()
    ]
    if not rows:
        return
    statement = insert(connection, judged)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[judged.c.cell_id, judged.c.harm],
        set_={"judged": judged.c.judged + new.judged, "harmful": judged.c.harmful + new.harmful},
    )
    connection.execute(statement, rows)


def read(connection: Connection, since: datetime, harms: Iterable[str]) -> list[JudgedWindow]:
    """Windows that start at `since` or later, in order of time, then of first sight of the stratum, then of the harms.

    One per harm and cell, those without judged responses too; `harms` come first, then others with any verdict.
    """
    recent = cells.c.window_start >= since
    counts = _live(connection, recent)
    folded = select(judged).join_from(judged, cells).where(recent)
    for cell_id, harm, read_before, harmful_before in connection.execute(folded):
        number, harmful = counts.get((cell_id, harm), (0, 0))
        counts[cell_id, harm] = number + read_before, harmful + harmful_before
    every = dict.fromkeys([*harms, *sorted(harm for _, harm in counts)])
    query = (
        select(cells.c.id, cells.c.window_start, strata.c.key, cells.c.requests)
        .join_from(cells, strata)
        .where(recent)
        .order_by(cells.c.window_start, strata.c.id)
    )
    known: dict[str, Stratum] = {}
    windows = []
    for cell_id, start, key, requests in connection.execute(query):
        stratum = known.setdefault(key, Stratum.from_key(key))
        windows += [
            JudgedWindow(start, harm, stratum, requests, *counts.get((cell_id, harm), (0, 0)))
            for harm in every
        ]
    return windows


def _live(
    connection: Connection, of_cells: ColumnElement[bool]
) -> dict[tuple[int, str], tuple[float, float]]:
    """Effective numbers of judged and harmful responses of prompts in the sample, by cell and harm."""
    query = (
        select(
            samples.c.cell_id,
            verdicts.c.harm,
            func.count(),
            func.sum(case((verdicts.c.harmful, 1), else_=0)),
        )
        .join_from(verdicts, samples)
        .join(cells)
        .where(of_cells, ~cells.c.scored)
        .group_by(samples.c.cell_id, verdicts.c.harm)
    )
    counts: dict[tuple[int, str], tuple[float, float]] = {
        (cell_id, harm): (read, int(harmful)) for cell_id, harm, read, harmful in connection.execute(query)
    }
    return counts | _by_risk(connection, of_cells)


def _by_risk(
    connection: Connection, of_cells: ColumnElement[bool]
) -> dict[tuple[int, str], tuple[float, float]]:
    """The same in cells that were read with a scorer."""
    frontier = frontiers(of_cells & cells.c.scored, judged=True)
    query = (
        select(
            verdicts,
            samples.c.cell_id,
            samples.c.size,
            samples.c.stands_for,
            cells.c.requests,
            frontier.c.tau,
        )
        .join_from(verdicts, samples)
        .join(cells)
        .join(frontier, frontier.c.cell_id == samples.c.cell_id)
    )
    requests: dict[tuple[int, str], int] = {}
    read: dict[tuple[int, str], list[tuple[bool, float]]] = defaultdict(list)
    for row in connection.execute(query):
        key = row.cell_id, row.harm
        requests[key] = row.requests
        read[key].append((row.harmful, requests_behind(row.size, row.stands_for, row.tau)))
    counts = {}
    for key, own in read.items():
        harmful, weights = (np.array(column) for column in zip(*own, strict=True))
        counts[key] = effective_counts(harmful, weights, requests[key])
    return counts

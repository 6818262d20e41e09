"""Runs of the sensitivity job, each with its figures per prompt and per stratum, in the order in which they were made.

Prompts are named by id. Their text is not here, so the figures may outlive it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select

from riskmon.records import Stratum
from riskmon.records.sensitivity import PromptSensitivity, SensitivitySummary, StratumSensitivity
from riskmon.store import strata
from riskmon.store.tables import sensitivity_prompts, sensitivity_runs, sensitivity_strata
from riskmon.store.tables import strata as strata_table

# Columns that carry the field of the same name.
_RUN = tuple(
    field.name for field in fields(SensitivitySummary) if field.name not in {"prompts", "strata", "failures"}
)
_PROMPT = tuple(
    field.name for field in fields(PromptSensitivity) if field.name not in {"stratum", "quantiles"}
)
_STRATUM = tuple(field.name for field in fields(StratumSensitivity) if field.name != "stratum")


def write(connection: Connection, summary: SensitivitySummary) -> None:
    """Stores a run; one that started at the same moment is replaced, so writing again changes nothing."""
    connection.execute(delete(sensitivity_runs).where(sensitivity_runs.c.started_at == summary.started_at))
    added = connection.execute(
        insert(sensitivity_runs)
        .values(**_values(summary, _RUN), failures=dict(summary.failures))
        .returning(sensitivity_runs.c.id)
    )
    run_id: int = added.scalar_one()
    named = [*(row.stratum for row in summary.prompts), *(row.stratum for row in summary.strata)]
    ids = strata.intern(connection, named, summary.finished_at)
    _add(
        connection,
        sensitivity_prompts,
        run_id,
        (
            {
                "stratum_id": ids[row.stratum],
                "quantiles": [list(pair) for pair in row.quantiles],
                **_values(row, _PROMPT),
            }
            for row in summary.prompts
        ),
    )
    _add(
        connection,
        sensitivity_strata,
        run_id,
        ({"stratum_id": ids[row.stratum], **_values(row, _STRATUM)} for row in summary.strata),
    )


def last_id(connection: Connection) -> int | None:
    """Number of the complete run that finished last."""
    found: int | None = connection.scalar(
        select(sensitivity_runs.c.id)
        .where(sensitivity_runs.c.complete)
        .order_by(sensitivity_runs.c.finished_at.desc(), sensitivity_runs.c.id.desc())
        .limit(1)
    )
    return found


def last(connection: Connection) -> SensitivitySummary | None:
    """The complete run that finished last."""
    run_id = last_id(connection)
    if run_id is None:
        return None
    run = connection.execute(select(sensitivity_runs).where(sensitivity_runs.c.id == run_id)).one()
    return SensitivitySummary(
        **_values(run, _RUN),
        failures=run.failures,
        prompts=tuple(
            PromptSensitivity(
                stratum=Stratum.from_key(row.key),
                quantiles=tuple((level, p) for level, p in row.quantiles),
                **_values(row, _PROMPT),
            )
            for row in _rows(connection, sensitivity_prompts, run_id)
        ),
        strata=tuple(
            StratumSensitivity(stratum=Stratum.from_key(row.key), **_values(row, _STRATUM))
            for row in _rows(connection, sensitivity_strata, run_id)
        ),
    )


def _values(source: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def _add(connection: Connection, table: Table, run_id: int, rows: Iterable[dict[str, Any]]) -> None:
    numbered = [{"run_id": run_id, "place": place, **row} for place, row in enumerate(rows)]
    if numbered:
        connection.execute(insert(table), numbered)


def _rows(connection: Connection, table: Table, run_id: int) -> Iterator[Row[Any]]:
    """A run's rows in their order, each with the key of its stratum."""
    return iter(
        connection.execute(
            select(table, strata_table.c.key)
            .join_from(table, strata_table)
            .where(table.c.run_id == run_id)
            .order_by(table.c.place)
        )
    )

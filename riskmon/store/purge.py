"""Forgetting: what is older than the retention goes, prompt text first of all.

Estimates and hits go with their prompt; of verdicts on production responses their number stays. Kept whatever its age:
counters, offsets, strata, the newest forecast, the newest back-test, the newest cycle and the newest complete one, and
the newest complete sensitivity run, so that publish shows the same after a purge as before; and the newest plans, which
the next cycle draws from.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, func, select

from riskmon.records import Horizon
from riskmon.store import custody, judged, stratum_events
from riskmon.store import cycles as cycle_queries
from riskmon.store import forecasts as forecast_queries
from riskmon.store import plans as plan_queries
from riskmon.store import sensitivity as sensitivity_queries
from riskmon.store.tables import cells, changes, cycles, forecasts, plans, results, samples, sensitivity_runs


def purge(connection: Connection, before: datetime, counts_before: datetime) -> int:
    """Deletes prompts of windows that start, forecasts and plans made, cycles and runs finished before a moment.

    Counts of requests and of judged responses, events of strata, forecasts of the totals and, for the back-test, those
    of strata that were the first of their day: without text and small, they go by a moment of their own. A key of the
    store that seals nothing any more is no longer asked for.

    A cycle that never finished goes by its start. Gives how many prompts were forgotten with their text.
    """
    judged.fold(connection, before)
    old_cells = select(cells.c.id).where(cells.c.window_start < before)
    forgotten = connection.execute(delete(samples).where(samples.c.cell_id.in_(old_cells))).rowcount
    connection.execute(delete(cells).where(cells.c.window_start < counts_before))
    stratum_events.purge(connection, counts_before)
    # The ledger row of a prompt still in the sample is what keeps it from being estimated again.
    still_sampled = exists().where(
        and_(
            samples.c.topic == results.c.topic,
            samples.c.partition == results.c.partition,
            samples.c.offset == results.c.offset,
        )
    )
    connection.execute(delete(results).where(results.c.written_at < before, ~still_sampled))
    shown = {
        cycle_queries.last_id(connection, complete_only=False),
        cycle_queries.last_id(connection, complete_only=True),
    } - {None}
    ended = func.coalesce(cycles.c.finished_at, cycles.c.started_at)
    connection.execute(delete(cycles).where(ended < before, cycles.c.id.not_in(shown)))
    newest = forecast_queries.last_made_at(connection)
    if newest is not None:
        made_at, of_stratum = forecasts.c.made_at, forecasts.c.stratum_id.is_not(None)
        scored = {moment for _, moment in forecast_queries.first_of_days(connection, counts_before)}
        unscored = made_at.not_in(scored) | (forecasts.c.horizon != Horizon.DAY.value)
        connection.execute(delete(forecasts).where(made_at < min(before, newest), of_stratum, unscored))
        connection.execute(delete(forecasts).where(made_at < min(counts_before, newest)))
        connection.execute(delete(changes).where(changes.c.made_at < min(before, newest)))
    in_force = plan_queries.last_made_at(connection)
    if in_force is not None:
        connection.execute(delete(plans).where(plans.c.made_at < min(before, in_force)))
    shown_run = {sensitivity_queries.last_id(connection)} - {None}
    over = sensitivity_runs.c.finished_at < before
    connection.execute(delete(sensitivity_runs).where(over, sensitivity_runs.c.id.not_in(shown_run)))
    custody.forget_unused(connection)
    return forgotten

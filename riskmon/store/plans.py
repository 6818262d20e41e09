"""Plans of proposals, kept by the moment at which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from riskmon.records import Plan, PlanMember, Stratum
from riskmon.store import strata
from riskmon.store.tables import plans
from riskmon.store.tables import strata as strata_table

# Columns that carry the field of the same name.
_VALUES = ("made_at", "hits", "effective_hits", "gain_nats", "reason")


def write(connection: Connection, made: Sequence[Plan]) -> None:
    """Stores plans in their order; those of the same moment are replaced, so writing again changes nothing."""
    if not made:
        return
    moments = {plan.made_at for plan in made}
    connection.execute(delete(plans).where(plans.c.made_at.in_(moments)))
    named = [plan.stratum for plan in made if plan.stratum is not None]
    ids = strata.intern(connection, named, max(moments))
    connection.execute(
        insert(plans),
        [
            {
                "place": place,
                "stratum_id": None if plan.stratum is None else ids[plan.stratum],
                "members": [asdict(member) for member in plan.members],
                **{name: getattr(plan, name) for name in _VALUES},
            }
            for place, plan in enumerate(made)
        ],
    )


def last_made_at(connection: Connection) -> datetime | None:
    """When the newest plans were made."""
    made_at: datetime | None = connection.scalar(select(func.max(plans.c.made_at)))
    return made_at


def latest(connection: Connection) -> list[Plan]:
    """All plans of the newest moment, in the order in which they were written."""
    query = (
        select(plans, strata_table.c.key)
        .join_from(plans, strata_table, isouter=True)
        .where(plans.c.made_at == select(func.max(plans.c.made_at)).scalar_subquery())
        .order_by(plans.c.place)
    )
    return [
        Plan(
            stratum=None if row.key is None else Stratum.from_key(row.key),
            members=tuple(PlanMember(**member) for member in row.members),
            **{name: getattr(row, name) for name in _VALUES},
        )
        for row in connection.execute(query)
    ]

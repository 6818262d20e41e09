"""The scorer that prompts are sampled with: one row, which every process that reads traffic looks at."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from sqlalchemy import Connection, delete, select

from riskmon.records.scorer import ScorerModel, ScorerState
from riskmon.store.tables import scorers
from riskmon.store.upsert import insert

_LITTLE_ENDIAN = np.dtype("<f4")
_FACTS = ("prompts", "variance_ratio", "variance_ratio_upper", "intercept", "steepness", "scale")


def write(connection: Connection, model: ScorerModel) -> None:
    """Stores a scorer in place of the one before."""
    packed = None if model.coefficients is None else model.coefficients.astype(_LITTLE_ENDIAN).tobytes()
    connection.execute(delete(scorers))
    connection.execute(
        insert(connection, scorers).values(
            id=1,
            made_at=model.made_at,
            facts={name: getattr(model, name) for name in _FACTS},
            coefficients=packed,
        )
    )


def newest(connection: Connection, after: datetime | None) -> ScorerModel | None:
    """The scorer, if it was made after a moment; None where there is none."""
    query = select(scorers)
    row = connection.execute(query if after is None else query.where(scorers.c.made_at > after)).one_or_none()
    if row is None:
        return None
    packed = row.coefficients
    coefficients = None if packed is None else np.frombuffer(packed, _LITTLE_ENDIAN).astype(np.float32)
    return ScorerModel(made_at=row.made_at, coefficients=coefficients, **row.facts)


def state(connection: Connection) -> ScorerState | None:
    """What is shown of the scorer; its coefficients are not read."""
    query = select(scorers.c.made_at, scorers.c.facts, scorers.c.coefficients.is_not(None).label("helps"))
    row = connection.execute(query).one_or_none()
    return None if row is None else ScorerState(row.made_at, row.facts["variance_ratio"], row.helps)

"""The newest back-test: one row per harm and stratum, its figures as JSON.

Replaced as a whole, so that a restart and other processes show the same. JSON knows no infinity, which a multiplicative
error may be; it is written as the text `inf`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from riskmon.records import Backtest, BacktestRow, IntervalShare, Stratum
from riskmon.records.backtest import Verdict
from riskmon.store import strata
from riskmon.store.tables import backtests
from riskmon.store.tables import strata as strata_table

_OWNER = {"harm", "stratum"}
_ROW = tuple(field.name for field in fields(BacktestRow) if field.name not in _OWNER)
_SHARE = tuple(field.name for field in fields(IntervalShare))
_FIGURES = tuple(field.name for field in fields(Backtest) if field.name not in _OWNER | {"rows", "intervals"})
_INFINITE = "inf"


def write(connection: Connection, made: Sequence[Backtest], now: datetime) -> None:
    """Replaces the back-test."""
    connection.execute(delete(backtests))
    if not made:
        return
    ids = strata.intern(connection, [test.stratum for test in made if test.stratum is not None], now)
    connection.execute(
        insert(backtests),
        [
            {
                "place": place,
                "made_at": now,
                "harm": test.harm,
                "stratum_id": None if test.stratum is None else ids[test.stratum],
                "body": _body(test),
            }
            for place, test in enumerate(made)
        ],
    )


def made_at(connection: Connection) -> datetime | None:
    """When the newest back-test was made; None before the first one."""
    found: datetime | None = connection.scalar(select(func.max(backtests.c.made_at)))
    return found


def read(connection: Connection, *, totals_only: bool) -> list[Backtest]:
    """The newest back-test in the order in which it was written, with the strata or without."""
    query = (
        select(backtests.c.harm, strata_table.c.key, backtests.c.body)
        .join_from(backtests, strata_table, isouter=True)
        .order_by(backtests.c.place)
    )
    if totals_only:
        query = query.where(backtests.c.stratum_id.is_(None))
    return [
        _backtest(harm, None if key is None else Stratum.from_key(key), body)
        for harm, key, body in connection.execute(query)
    ]


def _body(test: Backtest) -> dict[str, Any]:
    return {
        **{name: _plain(getattr(test, name)) for name in _FIGURES},
        "rows": [{name: _plain(getattr(row, name)) for name in _ROW} for row in test.rows],
        "intervals": [{name: getattr(share, name) for name in _SHARE} for share in test.intervals],
    }


def _backtest(harm: str, stratum: Stratum | None, body: Mapping[str, Any]) -> Backtest:
    return Backtest(
        harm=harm,
        stratum=stratum,
        rows=tuple(_row(harm, stratum, row) for row in body["rows"]),
        intervals=tuple(IntervalShare(**share) for share in body["intervals"]),
        **{name: _value(body[name]) for name in _FIGURES},
    )


def _row(harm: str, stratum: Stratum | None, row: Mapping[str, Any]) -> BacktestRow:
    values = {name: _value(row[name]) for name in _ROW}
    values |= {"made_at": datetime.fromisoformat(row["made_at"]), "verdict": Verdict(row["verdict"])}
    return BacktestRow(harm=harm, stratum=stratum, **values)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return _INFINITE if value == math.inf else value


def _value(value: Any) -> Any:
    return math.inf if value == _INFINITE else value

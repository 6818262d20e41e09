"""Strata and their row numbers, given in the order of first sight and kept forever; places among them are not.

**Places.** At most so many strata are kept apart (`riskmon.records.strata`), and here is where that holds: each process
that counts traffic draws the line by what it knows, and several may have had the same last place to give. So every
batch is settled in its own transaction, which has the only turn to write: a stratum of the batch that has no place
gets one if there is one, by the same rule, and otherwise is counted in `other`, its samples with it. The bottom-k of
the merged cell is right: what the process left out of one stratum had k better candidates in it, and they all move.

A stratum gives its place up when the store holds no request of it within the forecast's history (`retire`). Its row
and its number stay, and it gets a place again if there is one when it is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, exists, select, update

from riskmon.records import IntakeBatch, SampledPrompt, Stratum
from riskmon.records.strata import OTHER, StrataLimits, StrataLine, StrataNews, StratumChange, StratumEvent
from riskmon.store import stratum_events
from riskmon.store.tables import cells, strata
from riskmon.store.upsert import insert


def known(connection: Connection) -> dict[Stratum, int]:
    """Row number per stratum, in order of first sight."""
    rows = connection.execute(select(strata.c.key, strata.c.id).order_by(strata.c.id))
    return {Stratum.from_key(key): row_id for key, row_id in rows}


def kept(connection: Connection) -> list[Stratum]:
    """Strata that have a place, in order of first sight."""
    query = select(strata.c.key).where(strata.c.retired_at.is_(None)).order_by(strata.c.id)
    return [Stratum.from_key(key) for key in connection.scalars(query)]


def intern(connection: Connection, wanted: Iterable[Stratum], now: datetime) -> dict[Stratum, int]:
    """Row number per known stratum, after adding those of `wanted` that are new."""
    ids = known(connection)
    new = [stratum for stratum in dict.fromkeys(wanted) if stratum not in ids]
    if not new:
        return ids
    connection.execute(
        insert(connection, strata), [{"key": stratum.key(), "first_seen": now} for stratum in new]
    )
    return known(connection)


def settle(
    connection: Connection, batch: IntakeBatch, limits: StrataLimits | None, now: datetime
) -> tuple[IntakeBatch, StrataNews]:
    """The batch with every stratum that it counts in place, and what came of it.

    Args:
        limits: None gives every stratum a place.
    """
    places = kept(connection)
    moves = _moves(batch, places, limits)
    settled = _moved(batch, moves) if moves else batch
    events = _note(connection, settled, set(places), now)
    return settled, StrataNews(tuple(kept(connection) if events else places), tuple(events))


def retire(connection: Connection, before: datetime, now: datetime) -> int:
    """Takes the places of strata without a request since a moment, and not new since; gives how many."""
    recent = exists().where(cells.c.stratum_id == strata.c.id, cells.c.window_start >= before)
    gone = connection.execute(
        update(strata)
        .where(strata.c.retired_at.is_(None), strata.c.first_seen < before, ~recent)
        .values(retired_at=now, silent_since=None)
    )
    return gone.rowcount


def _moves(
    batch: IntakeBatch, places: Sequence[Stratum], limits: StrataLimits | None
) -> dict[Stratum, Stratum]:
    """Where strata of the batch that have no place, and get none, are counted instead."""
    has_place = set(places)
    asked = dict.fromkeys(stratum for _, stratum in batch.requests)
    lines: dict[tuple[str, ...], StrataLine] = {}
    moves = {}
    for stratum in asked:
        if limits is None or stratum in has_place:
            continue
        names = tuple(name for name, _ in stratum.labels)
        line = lines.setdefault(names, StrataLine(names, limits, places))
        into = line.admit(tuple(value for _, value in stratum.labels))
        if into != stratum:
            moves[stratum] = into
    return moves


def _moved(batch: IntakeBatch, moves: dict[Stratum, Stratum]) -> IntakeBatch:
    requests: Counter[tuple[datetime, Stratum]] = Counter()
    for (start, stratum), number in batch.requests.items():
        requests[start, moves.get(stratum, stratum)] += number
    variances: dict[tuple[datetime, Stratum], float] = {}
    for (start, stratum), variance in batch.variances.items():
        cell = (start, moves.get(stratum, stratum))
        variances[cell] = variances.get(cell, 0.0) + variance
    sample = [_moved_prompt(sampled, moves) for sampled in batch.sample]
    return replace(batch, requests=requests, variances=variances, sample=sample)


def _moved_prompt(sampled: SampledPrompt, moves: dict[Stratum, Stratum]) -> SampledPrompt:
    into = moves.get(sampled.prompt.stratum)
    return sampled if into is None else replace(sampled, prompt=replace(sampled.prompt, stratum=into))


def _note(
    connection: Connection, batch: IntakeBatch, places: set[Stratum], now: datetime
) -> list[StratumEvent]:
    """Gives every stratum of the batch its row and its place, and stores who came."""
    newest: dict[Stratum, datetime] = {}
    for start, stratum in batch.requests:
        newest[stratum] = max(start, newest.get(stratum, start))
    silent = {
        Stratum.from_key(key): since
        for key, since in connection.execute(
            select(strata.c.key, strata.c.silent_since).where(strata.c.silent_since.is_not(None))
        )
    }
    before = set(known(connection)) if newest.keys() - places else places
    events = []
    for stratum, start in newest.items():
        if stratum not in before:
            capped = any(value == OTHER for _, value in stratum.labels)
            change = StratumChange.CAPPED if capped else StratumChange.APPEARED
        # A message that comes late belongs to the time before: it says nothing of now.
        elif stratum not in places or (stratum in silent and start >= silent[stratum]):
            change = StratumChange.REAPPEARED
        else:
            continue
        events.append(StratumEvent(now, change, stratum))
    if events:
        back = [e.stratum.key() for e in events if e.change is StratumChange.REAPPEARED]
        connection.execute(
            update(strata).where(strata.c.key.in_(back)).values(silent_since=None, retired_at=None)
        )
        stratum_events.add(connection, events, intern(connection, newest, now))
    return events

"""Store, plans and traffic: what the daemon meets before it loads a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from rich import box
from rich.table import Table

from riskmon.config import Config
from riskmon.doctor.finding import Check, Finding, Level
from riskmon.errors import RiskmonError
from riskmon.publish.figures import ago, clock, exact, percent
from riskmon.records import CycleSummary, Plan
from riskmon.store import Store, open_store
from riskmon.traffic import open_source

# Members of a plan with a smaller share are not shown.
_SHARE_SHOWN = 0.01


def check_store(config: Config, now: datetime) -> Check[None]:
    """Whether the database answers, what it holds, and which plans are in force."""
    if (missing := _missing_file(config)) is not None:
        yield Finding(
            Level.WARNING,
            "store",
            f"there is no database {missing} yet; 'riskmon run' makes it when it starts",
        )
        return
    with open_store(config.store) as store:
        yield Finding(Level.OK, "store", f"reachable, schema up to date; {_holdings(store, config, now)}")
        yield Finding(
            Level.OK, "key", f"the store is encrypted with {store.sealed_by}; keep a copy of it elsewhere"
        )
        yield _last_cycle(store.last_cycle(), now)
        yield from _plans(store.plans(), now)


def check_traffic(config: Config, now: datetime) -> Check[None]:
    """Whether the source of prompts answers."""
    if config.traffic is None:
        yield Finding(
            Level.WARNING, "traffic", "none is configured: 'riskmon estimate' works, 'riskmon run' does not"
        )
        return
    with closing(open_source(config.traffic)) as source:
        source.start(_offsets(config, source.topic))
        status = source.status(now)
    if not status.up:
        yield Finding(Level.FAILED, "traffic", status.detail)
        return
    unread = "an unknown number of" if status.lag_messages is None else exact(status.lag_messages)
    yield Finding(Level.OK, "traffic", f"{source.topic} can be read; {unread} messages are unread")


def _offsets(config: Config, topic: str) -> dict[int, int]:
    """Where reading would go on; nothing where the store cannot say."""
    if _missing_file(config) is not None:
        return {}
    try:
        with open_store(config.store) as store:
            return store.next_offsets(topic)
    except RiskmonError:  # the store's own check has said so
        return {}


def _missing_file(config: Config) -> Path | None:
    """The file of a SQLite database that is not there; opening it would make it."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", config.store.url)
    path = Path(match[1]) if match else None
    return path if path is not None and not path.exists() else None


def _holdings(store: Store, config: Config, now: datetime) -> str:
    waiting = len(store.pending_prompts(now - config.forecast.lookback))
    hits = store.hit_counts(now - config.store.retention)
    kept = ", ".join(f"{exact(hits.get(harm.name, 0))} {harm.name}" for harm in config.all_harms)
    return (
        f"{exact(store.counters().sampled)} prompts were sampled, {exact(waiting)} wait for an estimate; "
        f"hits kept: {kept}"
    )


def _last_cycle(cycle: CycleSummary | None, now: datetime) -> Finding:
    if cycle is None:
        return Finding(
            Level.WARNING, "cycle", "none has finished yet; estimate.schedule says when one is due"
        )
    failed = sum(cycle.failures.values())
    text = (
        f"the last one finished {ago(cycle.finished_at, now)}: {exact(cycle.prompts)} prompts estimated, "
        f"{exact(failed)} failed, {exact(cycle.left_out)} left out, {cycle.device_seconds:,.1f} device seconds"
    )
    if not cycle.complete:
        return Finding(
            Level.WARNING, "cycle", f"{text}; it was broken off, the log of 'riskmon run' says why"
        )
    if failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(cycle.failures.items()))
        return Finding(Level.WARNING, "cycle", f"{text}; failures: {reasons}")
    return Finding(Level.OK, "cycle", text)


def _plans(plans: Sequence[Plan], now: datetime) -> Check[None]:
    """The plan of every stratum, and why it is so."""
    if not plans:
        yield Finding(Level.OK, "plan", "none stored yet: the first cycle tries every expert in every window")
    for plan in plans:
        where = "all strata" if plan.stratum is None else str(plan.stratum)
        if plan.stratum is None and len(plans) > 1:
            where = "strata without hits"
        yield Finding(
            Level.OK,
            "plan",
            f"{where}, of {clock(plan.made_at)} ({ago(plan.made_at, now)}): {plan.reason}",
            _members(plan),
        )


def _members(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("expert")
    for heading in ("strength", "window", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = [member for member in plan.members if member.share > _SHARE_SHOWN]
    for member in sorted(shown, key=lambda member: -member.share):
        table.add_row(
            member.expert, f"{member.strength:g}", f"{member.start} to {member.stop}", percent(member.share)
        )
    if rest := len(plan.members) - len(shown):
        table.add_row(
            f"{rest} more", "", "", percent(sum(m.share for m in plan.members if m.share <= _SHARE_SHOWN))
        )
    return table

"""The landing page: the forecast, what it rests on, and what needs attention, for a person in a hurry.

In come a `Snapshot` (None while the store cannot be read), the static `Facts`, the state of this process and the
reports at hand; out comes one self-contained HTML page: no script, no network, light and dark. Stratum values are
written by whoever sends traffic, so every value is escaped by the template engine. Ages are measured at the
snapshot's own time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from riskmon.publish import figures, hindsight, trend
from riskmon.publish.api import ENDPOINTS, OPENAPI_PATH
from riskmon.publish.attention import HEAVY_KHAT, concerns
from riskmon.publish.facts import Facts, HarmFacts
from riskmon.publish.report_files import Report
from riskmon.publish.trend import Trend
from riskmon.records import Forecast, Snapshot
from riskmon.records.change import Change, VersionChange

SHOWN_STRATA = 50
SHOWN_REPORTS = 7

_FOLDER = Path(__file__).parent
STYLE = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("palette.css", "page.css"))
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""Names the page's only style sheet in the content security policy."""


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval drawn on a scale that starts at 0; positions in percent of its width."""

    low: float
    high: float
    mark: float
    budget: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A forecast against its budget: a slug for the style sheet, and the words that carry the meaning."""

    slug: str
    words: str


@dataclass(frozen=True, slots=True)
class HarmView:
    """One harm on the page.

    Attributes:
        facts: its configuration.
        total: the forecast over all strata; None before there is one.
        bar: the total on its scale.
        scale: right end of that scale, in outputs.
        verdict: None without a budget.
        trend: the total over the past days; None before there is one.
        outlook: the totals of every horizon, with the name of each.
        change: why the total differs from that of a day before; None where nothing is known of that.
        versions: what two versions of the model differ by, where two serve; p is shown, for the router decides how
            much traffic each of them gets.
        hindsight: how past forecasts came out; empty before the first back-test.
        strata: forecasts by stratum with their bars on a common scale, the largest first, at most `SHOWN_STRATA`.
        hidden: strata beyond those.
    """

    facts: HarmFacts
    total: Forecast | None
    bar: Bar | None
    scale: float
    verdict: Verdict | None
    trend: Trend | None
    outlook: tuple[tuple[str, Forecast], ...]
    change: Change | None
    versions: tuple[VersionChange, ...]
    hindsight: str
    strata: tuple[tuple[Forecast, Bar], ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Step:
    """A thing that has to happen before there is a forecast."""

    done: bool
    words: str


def render(
    snapshot: Snapshot | None,
    facts: Facts,
    alive: Mapping[str, bool],
    not_ready: Sequence[str],
    reports: Sequence[Report] | None = None,
) -> str:
    """The page as HTML.

    Args:
        snapshot: what is shown; None while the store cannot be read.
        alive: per loop of this process, whether it runs.
        not_ready: reasons why this process is not ready.
        reports: the newest first; None where no folder of reports is configured.
    """
    harms = []
    if snapshot is not None:
        current, outlook = facts.current(snapshot), facts.outlook(snapshot)
        harms = [_harm(harm, current, outlook, snapshot) for harm in facts.harms]
    return _template().render(
        snapshot=snapshot,
        facts=facts,
        harms=harms,
        steps=[] if snapshot is None or any(harm.total for harm in harms) else _steps(snapshot, facts),
        concerns=concerns(snapshot, facts, alive, not_ready),
        heavy_khat=HEAVY_KHAT,
        reports=reports,
        shown_reports=SHOWN_REPORTS,
        api=[*(endpoint.path for endpoint in ENDPOINTS), OPENAPI_PATH],
        style=STYLE,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(figures, name)
        for name in ("number", "signed", "exact", "percent", "chance", "span", "ago", "clock")
    }
    environment.globals |= {"trend_size": f"0 0 {trend.WIDTH:g} {trend.HEIGHT:g}", "trend_width": trend.WIDTH}
    return environment.get_template("page.html.j2")


def _harm(
    harm: HarmFacts, forecasts: Iterable[Forecast], outlook: Sequence[Forecast], snapshot: Snapshot
) -> HarmView:
    own = [forecast for forecast in forecasts if forecast.harm == harm.name]
    total = next((forecast for forecast in own if forecast.stratum is None), None)
    strata = sorted(
        (forecast for forecast in own if forecast.stratum is not None),
        key=lambda forecast: (-forecast.expected, forecast.stratum),
    )
    scale = 1.1 * max(total.upper, total.expected, harm.budget_daily or 0.0) if total else 0.0
    widest = max((max(forecast.upper, forecast.expected) for forecast in strata), default=0.0)
    return HarmView(
        facts=harm,
        total=total,
        bar=_bar(total, scale, harm.budget_daily) if total else None,
        scale=scale,
        verdict=_verdict(total, harm.budget_daily) if total else None,
        trend=_trend(total, snapshot.history, harm.budget_daily) if total else None,
        outlook=tuple(
            (words.capitalize(), forecast)
            for horizon, words in figures.HORIZONS.items()
            for forecast in outlook
            if forecast.harm == harm.name and forecast.horizon is horizon
        ),
        change=snapshot.changes.get(harm.name),
        versions=tuple(one for one in snapshot.version_changes if one.harm == harm.name),
        hindsight=next((hindsight.sentence(t) for t in snapshot.backtests if t.harm == harm.name), ""),
        strata=tuple((forecast, _bar(forecast, widest)) for forecast in strata[:SHOWN_STRATA]),
        hidden=max(0, len(strata) - SHOWN_STRATA),
    )


def _trend(total: Forecast, history: Iterable[Forecast], budget: float | None) -> Trend | None:
    """Up to the forecast that is shown, whether or not the history holds it."""
    earlier = [f for f in history if f.harm == total.harm and f.stratum is None and f.made_at < total.made_at]
    return trend.draw([*earlier, total], budget)


def _bar(forecast: Forecast, scale: float, budget: float | None = None) -> Bar:
    def place(value: float) -> float:
        return round(100 * value / scale, 2) if scale > 0 else 0.0

    return Bar(
        low=place(forecast.lower),
        high=place(forecast.upper),
        mark=place(forecast.expected),
        budget=None if budget is None else place(budget),
    )


def _verdict(total: Forecast, budget: float | None) -> Verdict | None:
    if budget is None:
        return None
    if total.expected > budget:
        return Verdict("over", f"Over budget by a factor of {figures.number(total.expected / budget)}")
    if total.upper > budget:
        return Verdict("near", "Within budget, but the interval reaches beyond")
    return Verdict("within", "Within budget")


def _steps(snapshot: Snapshot, facts: Facts) -> list[Step]:
    """What a first forecast waits for, in the order in which it happens."""
    consumed = snapshot.counters.consumed
    estimated = snapshot.counters.estimated_prompts

    def due(schedule: str) -> str:
        return f", due by the crontab '{schedule}' in UTC" if schedule else ""

    return [
        Step(True, f"{figures.exact(consumed)} messages read from the traffic source")
        if consumed
        else Step(False, "The first message from the traffic source"),
        Step(True, f"{figures.exact(estimated)} prompts estimated")
        if snapshot.last_success is not None
        else Step(False, f"The first estimate cycle{due(facts.estimate_schedule)}"),
        Step(False, f"The first forecast{due(facts.forecast_schedule)}"),
    ]

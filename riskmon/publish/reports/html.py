"""A report as one HTML page: styles and pictures inside, no script, no request to anywhere; light, dark and A4.

Prompt ids, strata and excerpts are written by whoever sends traffic: the template engine escapes every value. Where a
budget, a share or a shade is drawn, the same fact stands beside it in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from riskmon.publish import figures
from riskmon.publish.attention import HEAVY_KHAT
from riskmon.publish.encodable import encodable
from riskmon.publish.reports import charts, words
from riskmon.publish.reports.charts import Ranges, Segment, TrendChart
from riskmon.records import Forecast
from riskmon.records.report import DeploymentReport, HarmReport

SHOWN_STRATA = 50
# A summary is read in twenty seconds; the rest stands with the limitations.
SHOWN_FINDINGS = 5

_FOLDER = Path(__file__).parent
STYLE = "".join(
    path.read_text(encoding="utf-8") for path in (_FOLDER.parent / "palette.css", _FOLDER / "report.css")
)


@dataclass(frozen=True, slots=True)
class HarmView:
    """A harm with its pictures.

    Attributes:
        bar: the total on a scale from 0 to `scale`. trend: None before there is one.
        variance: parts of the spread. strata: with their intervals on a common scale, at most `SHOWN_STRATA`.
        hidden: strata beyond those.
    """

    harm: HarmReport
    bar: Ranges | None
    scale: float
    trend: TrendChart | None
    variance: tuple[Segment, ...]
    strata: tuple[tuple[Forecast, Ranges], ...]
    hidden: int


def render_html(report: DeploymentReport) -> str:
    """The page; lone surrogates, which UTF-8 cannot carry, are replaced."""
    html = _template().render(
        report=report,
        views=[_view(harm) for harm in report.harms],
        words=words,
        charts=charts,
        heavy_khat=HEAVY_KHAT,
        shown_findings=SHOWN_FINDINGS,
        style=STYLE,
    )
    return encodable(html)


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
        name: getattr(figures, name) for name in ("number", "exact", "percent", "chance", "span", "clock")
    }
    return environment.get_template("report.html.j2")


def _view(harm: HarmReport) -> HarmView:
    scale = charts.scale_of(harm)
    widest = max((max(stratum.upper, stratum.expected) for stratum in harm.strata), default=0.0)
    return HarmView(
        harm=harm,
        bar=None if harm.total is None else charts.ranges(harm.total, scale, harm.scope.budget_daily),
        scale=scale,
        trend=charts.trend_chart(harm),
        variance=() if harm.total is None else charts.variance_bar(harm.total),
        strata=tuple((stratum, charts.ranges(stratum, widest)) for stratum in harm.strata[:SHOWN_STRATA]),
        hidden=max(0, len(harm.strata) - SHOWN_STRATA),
    )

"""A report as Markdown, for tickets, chats and version control: the same sentences and tables, without pictures.

Whatever a sender of traffic, a model's name or a reason may hold is escaped: it can neither end a table's cell nor
become markup, a link or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from riskmon.publish.encodable import encodable
from riskmon.publish.figures import chance, clock, exact, number, percent
from riskmon.publish.reports import charts, words
from riskmon.publish.reports.markdown_checks import coverage, health, incidents, judges, sensitivity
from riskmon.publish.reports.markup import bullets, reasons, table, text
from riskmon.records import Stratum
from riskmon.records.report import DeploymentReport, HarmReport

SHOWN_STRATA = 50

Body = Callable[[HarmReport], str]


def render_markdown(report: DeploymentReport) -> str:
    """The report; lone surrogates, which UTF-8 cannot carry, are replaced."""
    parts = [f"# {text(words.title(report))}\n\n{words.period(report)}. {text(words.written(report))}"]
    for place, (title, body) in enumerate(_sections(report), start=1):
        parts.append(f"## {place}. {title}\n\n{body}")
    return encodable("\n\n".join(parts) + "\n")


def _sections(report: DeploymentReport) -> Iterator[tuple[str, str]]:
    yield "Summary", _summary(report)
    yield "Scope and estimand", _scope(report)
    yield "Versions", _versions(report)
    yield "Traffic covered and left out", _traffic(report)
    yield "Forecast and its uncertainty", _per_harm(report, _forecast)
    yield "Trend", _per_harm(report, _trend)
    yield "Strata", _per_harm(report, _strata)
    yield "Prompts that contribute most", _prompts(report)
    yield "Why the forecast changed", _change(report)
    yield "Back-test", _per_harm(report, lambda harm: words.backtest(harm.backtest))
    yield "Judge calibration", judges(report)
    yield "Coverage audit", coverage(report)
    yield "Health of the estimator", health(report)
    yield "Sensitivity to wording", sensitivity(report)
    yield "Incidents and alerts", incidents(report)
    yield "Limitations", bullets(report.limitations)
    choices = " ".join(f"[ ] {choice}" for choice in words.SIGN_OFF)
    yield "Sign-off", f"Decision: {choices}\n\nName: ____________________\n\nDate: ____________________"


def _summary(report: DeploymentReport) -> str:
    parts = []
    for harm in report.harms:
        lines = (words.headline(harm), words.direction(harm), words.why(harm))
        parts.append(
            f"**{text(harm.scope.name)}: {words.verdict(harm)}.** {' '.join(text(line) for line in lines if line)}"
        )
    parts.append(f"**{words.TRUST[report.trust]}.**")
    if report.findings:
        parts.append(
            bullets(f"{found.harm}: {found.text}" if found.harm else found.text for found in report.findings)
        )
    return "\n\n".join(parts)


def _scope(report: DeploymentReport) -> str:
    rows = [
        (harm.name, harm.judge, harm.source, number(harm.threshold), number(harm.budget_daily))
        for harm in report.scope.harms
    ]
    listed = table(("Harm", "Judge", "Made of", "Threshold", "Budget a day"), rows, figures=2)
    return f"{text(words.estimand(report.scope))}\n\n{listed}"


def _versions(report: DeploymentReport) -> str:
    read = report.versions
    target = read.target if read.revision is None else f"{read.target} at {read.revision}"
    rows = [
        ("Target", target),
        ("Fingerprint of the target", read.fingerprint),
        ("Configuration, SHA-256 without secrets", read.config_sha256),
        ("riskmon", read.riskmon),
        *((f"Variant {expert.name}, {expert.kind}", expert.fingerprint) for expert in read.experts),
        *(
            (
                f"Plan for {plan.stratum or 'all others'}",
                f"made {clock(plan.made_at)} from {exact(plan.hits)} hits",
            )
            for plan in read.plans
        ),
    ]
    return table(("What", "Which"), rows)


def _traffic(report: DeploymentReport) -> str:
    traffic, counters = report.traffic, report.traffic.counters
    rows = [
        ("Requests counted in the period", exact(traffic.requests), ""),
        ("In the period before", exact(traffic.previous_requests), ""),
        ("Prompts sampled, still stored", exact(traffic.tally.sampled), ""),
        ("Prompts estimated", exact(traffic.tally.estimated), ""),
        ("Prompts that failed", exact(sum(traffic.tally.failed.values())), reasons(traffic.tally.failed)),
        ("Prompts waiting", exact(traffic.tally.waiting), ""),
        ("Messages read since the store was made", exact(counters.consumed), ""),
        (
            "Messages rejected since then",
            exact(sum(counters.rejected.values())),
            reasons(counters.rejected),
        ),
    ]
    return table(("What", "Number", "Note"), rows)


def _forecast(harm: HarmReport) -> str:
    if harm.total is None:
        return words.headline(harm)
    rows = [
        (
            words.HORIZONS[row.horizon],
            number(row.expected),
            words.interval(row.lower_50, row.upper_50),
            words.interval(row.lower, row.upper),
            words.interval(row.lower_99, row.upper_99),
            chance(row.any_probability),
            words.over_budget(row),
            number(row.requests),
        )
        for row in harm.outlook or (harm.total,)
    ]
    names = (
        "Horizon",
        "Expected",
        "50% interval",
        "90% interval",
        "99% interval",
        "At least one",
        "Over budget",
        "Requests",
    )
    parts = [
        table(names, rows, figures=7),
        f"Worst query of the next 24 h: {words.worst_query(harm.total)}. It rests on {exact(harm.total.prompts)} "
        f"prompts with {exact(harm.total.hits)} harmful draws.",
    ]
    if spread := charts.variance_text(charts.variance_bar(harm.total)):
        parts.append(f"Spread from: {spread}.")
    if harm.total.sharper:
        parts.append(f"What would make it sharper: {harm.total.sharper}.")
    if retries := words.retry_risk(harm.total):
        parts.append(retries)
    return "\n\n".join(parts)


def _trend(harm: HarmReport) -> str:
    chart = charts.trend_chart(harm)
    return "Fewer than three forecasts in the period." if chart is None else text(chart.text)


def _strata(harm: HarmReport) -> str:
    if not harm.strata:
        return "No stratum has a forecast yet."
    rows = [
        (
            row.stratum,
            number(row.expected),
            words.interval(row.lower, row.upper),
            number(row.requests),
            number(row.harm_probability),
            exact(row.prompts),
            exact(row.hits),
        )
        for row in harm.strata[:SHOWN_STRATA]
    ]
    names = ("Stratum", "Expected", "90% interval", "Requests a day", "Harm per request", "Prompts", "Hits")
    parts = [table(names, rows, figures=6)]
    if harm.heat.rows:
        days = tuple(day.isoformat() for day in harm.heat.days)
        heat: list[tuple[str | Stratum, ...]] = [
            (row.stratum, *(number(value) for value in row.values)) for row in harm.heat.rows
        ]
        parts += [
            "Mean probability of harm by UTC day, as judged:",
            table(("Stratum", *days), heat, figures=len(days)),
        ]
    return "\n\n".join(parts)


def _prompts(report: DeploymentReport) -> str:
    note = f"{words.EXCERPT_NOTE}\n\n" if report.excerpts else ""
    return note + _per_harm(report, lambda harm: _contributors(harm, shown=report.excerpts > 0))


def _contributors(harm: HarmReport, *, shown: bool) -> str:
    if not harm.contributors:
        return "No estimated prompt has shown harm."
    rows = [
        (
            row.prompt_id,
            row.stratum,
            percent(row.share),
            number(row.p),
            words.interval(row.ci_low, row.ci_high),
            number(row.weight),
            exact(row.hits),
            ", ".join(row.flags),
            *((row.excerpt or "",) if shown else ()),
        )
        for row in harm.contributors
    ]
    names = ("Prompt", "Stratum", "Share", "p", "95% interval", "Stands for", "Hits", "Flags")
    return table((*names, "Excerpt") if shown else names, rows)


def _change(report: DeploymentReport) -> str:
    rows = [
        (harm.scope.name, *(words.effect(part) for part in (found.total, found.volume, found.mix, found.p)))
        for harm in report.harms
        if (found := harm.change) is not None
    ]
    if not rows:
        return "The change since the day before has not been split into volume, mix and model yet."
    return table(("Harm", "Change since the day before", "Volume", "Mix", "Model"), rows, figures=4)


def _per_harm(report: DeploymentReport, body: Body) -> str:
    return "\n\n".join(f"### {text(harm.scope.name)}\n\n{body(harm)}" for harm in report.harms)

"""The parts of a Markdown report that say how good its figures are: judge, audit, cycles, rewordings, incidents."""

from __future__ import annotations

from riskmon.publish.figures import clock, exact, number, percent
from riskmon.publish.reports import words
from riskmon.publish.reports.markup import reasons, table, text
from riskmon.records.report import DeploymentReport


def judges(report: DeploymentReport) -> str:
    """How often each judge is wrong."""
    rows = []
    for harm in report.harms:
        found = harm.judge
        if found is None:
            rows.append((harm.scope.name, "never measured", "", "", ""))
            continue
        se, sp = (
            f"{number(value)} ({words.interval(low, high)})"
            for value, low, high in (
                (found.sensitivity, found.sensitivity_low, found.sensitivity_high),
                (found.specificity, found.specificity_low, found.specificity_high),
            )
        )
        rows.append((harm.scope.name, clock(found.made_at), se, sp, number(found.floor)))
    return table(("Harm", "Measured", "Sensitivity", "Specificity", "Floor"), rows, figures=3)


def coverage(report: DeploymentReport) -> str:
    """The audit of what the variants miss."""
    rows = [
        (
            harm.scope.name,
            exact(found.target_draws),
            exact(found.gap_hits),
            number(found.upper),
            exact(found.responses),
            exact(found.response_gap_hits),
        )
        for harm in report.harms
        if (found := harm.coverage) is not None
    ]
    if not rows:
        return "No draws to audit yet."
    names = (
        "Harm",
        "Draws of the model itself",
        "Harm no variant covers",
        "At most, per request",
        "Production responses judged",
        "Harm no variant covers in them",
    )
    return f"{table(names, rows, figures=5)}\n\n{text(words.RESPONSES_COUNT)}"


def health(report: DeploymentReport) -> str:
    """The cycles of the period, the newest first."""
    if not report.cycles:
        return "No estimate cycle ended in the period."
    rows = [
        (
            clock(cycle.finished_at),
            one.harm,
            exact(cycle.prompts),
            exact(cycle.left_out),
            number(one.ess_ratio),
            number(one.khat),
            number(cycle.weight_mean),
            percent(one.coverage_gap_ratio),
            number(cycle.device_seconds),
            "complete" if cycle.complete else "cut short",
        )
        for cycle in reversed(report.cycles)
        for one in cycle.health
    ]
    names = (
        "Cycle ended",
        "Harm",
        "Prompts",
        "Left out",
        "ESS ratio",
        "k-hat",
        "Mean weight",
        "Coverage gap",
        "Device s",
        "Outcome",
    )
    return table(names, rows)


def sensitivity(report: DeploymentReport) -> str:
    """What rewordings do."""
    found = report.sensitivity
    if found is None:
        return "How far the risk of a prompt moves under harmless rewordings has not been measured yet."
    rows = [
        (
            row.harm,
            row.stratum,
            exact(row.prompts),
            number(row.worst),
            words.interval(row.worst_low, row.worst_high),
        )
        for row in found.strata
    ]
    listed = table(
        ("Harm", "Stratum", "Prompts", "Worst rewording, times the prompt", "95% interval"), rows, figures=3
    )
    return f"Measured {clock(found.finished_at)} on the prompts that contribute most.\n\n{listed}"


def incidents(report: DeploymentReport) -> str:
    """What went wrong, and which alerts fired."""
    rows = [
        (clock(found.start), clock(found.end) if found.end else "", found.kind.value, found.detail)
        for found in report.incidents
    ]
    rows += [
        (
            clock(alert.start),
            "still firing" if alert.firing else clock(alert.end),
            alert.name,
            reasons(alert.labels),
        )
        for alert in report.alerts.alerts
    ]
    listed = table(("Began", "Ended", "What", "Detail"), rows) if rows else "Nothing in the store."
    failed = f"Failed runs of jobs since the store was made: {text(reasons(report.job_failures) or 'none')}."
    return f"{listed}\n\n{failed}\n\n{text(words.alerts(report.alerts))}"

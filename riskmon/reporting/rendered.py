"""A report in the forms that are delivered, made once for all places it goes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riskmon.config import Config
from riskmon.config.report import ReportFormat
from riskmon.publish.reports import render_html, render_json, render_mail, render_markdown, render_text, words
from riskmon.records.report import DeploymentReport

_RENDERERS: Mapping[ReportFormat, Callable[[DeploymentReport], str]] = {
    "html": render_html,
    "md": render_markdown,
    "json": render_json,
}
MEDIA_TYPES: Mapping[ReportFormat, tuple[str, str]] = {
    "html": ("text", "html"),
    "md": ("text", "markdown"),
    "json": ("application", "json"),
}


@dataclass(frozen=True, slots=True)
class RenderedReport:
    """A report ready to go out.

    Attributes:
        name: of its files, without the ending. subject: one line. text, mail: the summary, plain and as HTML.
        link: where readers find it; None where that is not known.
        files: content by format. summary: what a webhook gets, without any prompt id. document: the JSON report.
    """

    name: str
    subject: str
    text: str
    mail: str
    link: str | None
    files: Mapping[ReportFormat, str] = field(repr=False)
    summary: Mapping[str, Any] = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)


def render(report: DeploymentReport, config: Config, formats: Sequence[ReportFormat]) -> RenderedReport:
    """All forms of a report.

    Args:
        formats: of its files.
    """
    link = _link(report.name, config, formats)
    subject = " ".join(words.subject(report).split())
    text = render_text(report, link)
    files = {kind: _RENDERERS[kind](report) for kind in formats}
    return RenderedReport(
        name=report.name,
        subject=subject,
        text=text,
        mail=render_mail(report, link),
        link=link,
        files=files,
        summary=_summary(report, subject, text, link),
        document=json.loads(files.get("json") or render_json(report)),
    )


def _link(name: str, config: Config, formats: Sequence[ReportFormat]) -> str | None:
    """Address on the page, which serves `publish.reports` and no other folder."""
    base = config.report.link
    if base is None or config.publish.reports is None or config.report_folder != config.publish.reports:
        return None
    ending = "html" if "html" in formats else formats[0]
    return f"{base.rstrip('/')}/reports/{name}.{ending}"


def _summary(report: DeploymentReport, subject: str, text: str, link: str | None) -> dict[str, Any]:
    return {
        "title": subject,
        "text": text,  # what chat programs show of a webhook's body
        "link": link,
        "name": report.name,
        "made_at": report.made_at.isoformat(),
        "cause": report.cause.value,
        "trust": report.trust.value,
        "harms": [
            {
                "name": harm.scope.name,
                "verdict": harm.verdict.value,
                "expected": harm.total and harm.total.expected,
                "lower": harm.total and harm.total.lower,
                "upper": harm.total and harm.total.upper,
                "budget_daily": harm.scope.budget_daily,
            }
            for harm in report.harms
        ],
    }

"""The short forms of a report: plain text for mail and chat, and a small page for a mail's body.

Mail programs strip style sheets and pictures, so the body holds the summary in plain elements, and the report itself
goes with it as an attachment.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from riskmon.publish.reports import words
from riskmon.records.report import DeploymentReport, HarmReport


def render_text(report: DeploymentReport, link: str | None = None) -> str:
    """The summary as plain text, one paragraph a harm.

    Args:
        link: address of the whole report; None names none.
    """
    paragraphs = [f"{words.title(report)}\n{words.period(report)}"]
    paragraphs += [f"{harm.scope.name}: {words.verdict(harm)}. {_sentences(harm)}" for harm in report.harms]
    paragraphs.append(
        "\n".join([f"{words.TRUST[report.trust]}.", *(f"- {line}" for line in _findings(report))])
    )
    if link is not None:
        paragraphs.append(f"The whole report: {link}")
    return "\n\n".join(paragraphs) + "\n"


def render_mail(report: DeploymentReport, link: str | None = None) -> str:
    """The summary as HTML that mail programs leave alone."""
    harms = Markup("").join(
        Markup("<h2>{}</h2><p><strong>{}.</strong> {}</p>").format(
            harm.scope.name, words.verdict(harm), _sentences(harm)
        )
        for harm in report.harms
    )
    findings = Markup("").join(Markup("<li>{}</li>").format(line) for line in _findings(report))
    whole = Markup('<p><a href="{0}">{0}</a></p>').format(link) if link is not None else Markup("")
    return str(
        Markup(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{0}</title></head><body>'
            "<h1>{0}</h1><p>{1}</p>{2}<p><strong>{3}.</strong></p>{4}{5}</body></html>\n"
        ).format(
            words.title(report),
            words.period(report),
            harms,
            words.TRUST[report.trust],
            Markup("<ul>{}</ul>").format(findings) if findings else escape(""),
            whole,
        )
    )


def _sentences(harm: HarmReport) -> str:
    return " ".join(filter(None, (words.headline(harm), words.direction(harm), words.why(harm))))


def _findings(report: DeploymentReport) -> list[str]:
    return [
        f"{finding.harm}: {finding.text}" if finding.harm else finding.text for finding in report.findings
    ]

"""A deployment report in its formats: HTML for people, Markdown for tickets and mail, JSON for programs.

All three show one `riskmon.records.report.DeploymentReport` and share their sentences (`words.py`).
"""

from riskmon.publish.reports.html import render_html
from riskmon.publish.reports.json_document import render_json
from riskmon.publish.reports.mail import render_mail, render_text
from riskmon.publish.reports.markdown import render_markdown

__all__ = ["render_html", "render_json", "render_mail", "render_markdown", "render_text"]

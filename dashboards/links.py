"""Links: between the dashboards, and to the documents that say what to do.

Where the documents are read is a matter of each company, so their address is an argument of the builder.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

# Every dashboard carries it, and so each finds the others.
TAG = "riskmon"


@dataclass(frozen=True)
class Docs:
    """Where `docs/` is read.

    Args:
        url: address of the folder, without a slash at the end.
    """

    url: str = "https://riskmon.example.org/docs"

    def runbook(self, alert: str) -> builders.DashboardLink:
        """What to do about an alert; `alert` may be a variable of Grafana."""
        return _page(f"Runbook: {alert}", f"{self.url}/runbooks/{alert}.md")

    def page(self, title: str, path: str) -> builders.DashboardLink:
        """A page of the documents."""
        return _page(title, f"{self.url}/{path}")


def others() -> builders.DashboardLink:
    """The other dashboards, with the same variables and times."""
    return (
        builders.DashboardLink("riskmon")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _page(title: str, url: str) -> builders.DashboardLink:
    return builders.DashboardLink(title).type(DashboardLinkType.LINK).icon("doc").url(url).target_blank(True)

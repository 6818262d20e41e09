"""docs/runbooks/README.md, rendered from the alerts of the default configuration.

`python -m riskmon.publish.rules.index > docs/runbooks/README.md` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import sys

from riskmon.config import Config, RegexJudge
from riskmon.config.model import ModelConfig
from riskmon.publish.rules.document import alerts

_INTRODUCTION = """\
# Runbooks

One page per alert: symptom, meaning, checks, actions, and whom to wake. What the alerts rest on and how to tune them is
in [alerts](../alerts.md).

A *page* wakes somebody, a *ticket* waits for the morning. Every alert that pages raises a ticket beside it.

| alert | severity | what it says |
|---|---|---|
"""


def render() -> str:
    """The page as Markdown: each alert once, in the order of the rules."""
    config = Config(model=ModelConfig(target="any"), judge=RegexJudge(kind="regex", pattern="any"))
    severities: dict[tuple[str, str], list[str]] = {}
    for alert in alerts(config):
        found = severities.setdefault((alert.name, alert.summary), [])
        if alert.severity not in found:
            found.append(alert.severity)
    rows = [
        f"| [{name}]({name}.md) | {', '.join(found)} | {summary} |\n"
        for (name, summary), found in severities.items()
    ]
    return _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(render())

"""The rule file: groups from a configuration, and their YAML."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from riskmon.config import Config
from riskmon.errors import InputError
from riskmon.publish.rules.burn import burn_group
from riskmon.publish.rules.estimator import estimator_group
from riskmon.publish.rules.intake import intake_group
from riskmon.publish.rules.itself import itself_group
from riskmon.publish.rules.risk import risk_group
from riskmon.publish.rules.rule import Alert, Group
from riskmon.publish.rules.timing import Timing

_HEADER = """\
# Rules for Prometheus, written by `riskmon rules`. Change the section `rules` of riskmon's configuration, and write
# them anew. What each alert means: docs/alerts.md; what to do: docs/runbooks/.
"""
_NO_BUDGET = """\
# No budget_daily: {harms}. RiskmonForecastOverBudget and RiskmonObservedBurn are silent where there is none.
"""


def groups(config: Config) -> tuple[Group, ...]:
    """All rules of a configuration."""
    timing, rules = Timing.of(config), config.rules
    return (
        risk_group(rules, timing),
        burn_group(rules, timing),
        estimator_group(rules, timing),
        intake_group(rules),
        itself_group(rules, timing),
    )


def alerts(config: Config) -> tuple[Alert, ...]:
    """The alerts among them, in order."""
    return tuple(rule for group in groups(config) for rule in group.rules if isinstance(rule, Alert))


def render_rules(config: Config) -> str:
    """The rule file as YAML."""
    body = {"groups": [group.as_dict(config.rules) for group in groups(config)]}
    without = _without_budget(config)
    note = _NO_BUDGET.format(harms=", ".join(without)) if without else ""
    return _HEADER + note + yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True)


def _without_budget(config: Config) -> list[str]:
    return [harm.name for harm in config.all_harms if harm.budget_daily is None]


def write_rules(config: Config, out: Path | None, say: Callable[[str], object]) -> None:
    """Give the rules to a file, whole or not at all, or else to `say`.

    Raises:
        InputError: the file cannot be written.
    """
    text = render_rules(config)
    if out is None:
        say(text.removesuffix("\n"))
        return
    try:
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(0o644)  # Prometheus reads it under a user of its own
            Path(name).replace(out)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise InputError(
            f"the rules cannot be written to {out} ({exc.strerror}); name a file in a folder you may write to"
        ) from exc
    names = dict.fromkeys(alert.name for alert in alerts(config))
    say(f"{out}: {len(names)} alerts; `promtool check rules {out}` checks it")
    if without := _without_budget(config):
        say(f"no budget_daily: {', '.join(without)}; budget alerts are silent there")


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

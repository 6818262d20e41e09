"""What a person at a terminal sees of a comparison, and what a program reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from riskmon.config.release import ReleaseConfig
from riskmon.console import say
from riskmon.publish.figures import number, percent
from riskmon.release.decision import Decision, HarmDecision, worst
from riskmon.release.measured import Side
from riskmon.statistics.paired import PairedChange

EXIT_CODES = {Decision.SHIP: 0, Decision.HOLD: 3, Decision.UNDECIDED: 4}
"""1 and 2 mean here what they mean everywhere: failed while running, and for the user to mend."""

_STYLES = {Decision.SHIP: "green", Decision.HOLD: "bold red", Decision.UNDECIDED: "yellow"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A comparison at its end.

    Attributes:
        harms: the last look at each harm.
        looks: looks taken. prompts: prompts asked. planned: prompts in the file.
        device_seconds: of both models.
        ended: why no further look was taken.
        same_model: whether both versions are one and the same, as where an environment variable overrides both.
    """

    harms: tuple[HarmDecision, ...]
    looks: int
    prompts: int
    planned: int
    device_seconds: float
    ended: str
    same_model: bool = False

    @property
    def decision(self) -> Decision:
        """The worst of all harms; undecided without a look."""
        return worst([found.decision for found in self.harms]) if self.harms else Decision.UNDECIDED


def print_outcome(console: Console, outcome: Outcome, gate: ReleaseConfig) -> None:
    """Write a table, a sentence per harm, and the answer."""
    if outcome.harms:
        console.print(_table(outcome.harms, gate))
    for found in outcome.harms:
        say(console, f"{found.harm}: {found.decision}, {found.why}.")
    if outcome.same_model:
        say(console, "Baseline and candidate are the same model: this tries the gate and clears no release.")
    say(
        console,
        f"{str(outcome.decision).capitalize()} after {outcome.prompts} of {outcome.planned} prompts and "
        f"{number(outcome.device_seconds)} s of device time: {outcome.ended}.",
    )


def as_json(outcome: Outcome, gate: ReleaseConfig) -> dict[str, Any]:
    """Plain values; a limit that does not exist is None."""
    return {
        "decision": outcome.decision,
        "exit_code": EXIT_CODES[outcome.decision],
        "looks": outcome.looks,
        "prompts": outcome.prompts,
        "prompts_planned": outcome.planned,
        "device_seconds": outcome.device_seconds,
        "ended": outcome.ended,
        "same_model": outcome.same_model,
        "margin": gate.margin,
        "margin_hold": gate.hold_above,
        "confidence": gate.confidence,
        "harms": [_harm_as_json(found) for found in outcome.harms],
    }


def _harm_as_json(found: HarmDecision) -> dict[str, Any]:
    return {
        "harm": found.harm,
        "decision": found.decision,
        "why": found.why,
        **_change_as_json(found.change),
        "prompts": found.prompts,
        "pairs": found.pairs,
        "doubtful_share": found.doubtful,
        "doubts": dict(found.doubts),
        **{f"{side}_hits": found.hits[side] for side in Side},
        **{f"{side}_target_draws": found.target_draws[side] for side in Side},
        **{f"{side}_uncovered_upper": found.uncovered[side] for side in Side},
    }


def _change_as_json(change: PairedChange | None) -> dict[str, float | None]:
    if change is None:
        return {}
    values = {
        "ratio": change.ratio,
        "ratio_low": change.ratio_low,
        "ratio_high": change.ratio_high,
        "difference": change.difference,
        "difference_low": change.difference_low,
        "difference_high": change.difference_high,
        "baseline_mean": change.baseline,
        "candidate_mean": change.candidate,
    }
    return {
        name: value if value is not None and math.isfinite(value) else None for name, value in values.items()
    }


def _table(harms: Sequence[HarmDecision], gate: ReleaseConfig) -> Table:
    table = Table(
        title="Candidate against baseline: ratio of the mean probabilities of harm",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=f"each limit holds with {percent(gate.confidence)} over all looks and, the low one, over all harms; "
        "uncovered is a 95% bound on the candidate's harm that no expert of it reaches",
        caption_justify="left",
    )
    table.add_column("harm", overflow="fold")
    table.add_column("decision", no_wrap=True)
    headings = ("ratio", "low", "high", "baseline p", "candidate p", "prompts", "doubtful", "uncovered")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for found in harms:
        change = found.change
        figures = (
            (None,) * 5
            if change is None
            else (change.ratio, change.ratio_low, change.ratio_high, change.baseline, change.candidate)
        )
        table.add_row(
            escape(found.harm),
            f"[{_STYLES[found.decision]}]{found.decision}[/]",
            *(number(value) for value in figures),
            str(found.pairs),
            percent(found.doubtful),
            number(found.uncovered[Side.CANDIDATE]),
        )
    return table

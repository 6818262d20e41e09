"""What a person is told when a fit is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from riskmon.calibration.snippet import expert_snippet
from riskmon.config import Config, LoraExpert
from riskmon.console import say
from riskmon.publish.figures import number

if TYPE_CHECKING:
    from riskmon.estimate.calibrate.lora import FitReport

# From a gentle push to the adapter itself: on a real model a single full-strength rung missed harm, and these did not.
_LADDER = (0.35, 0.7, 1.0)


def print_fit(console: Console, config: Config, name: str, report: FitReport) -> None:
    """Write the result of a finished fit.

    Args:
        config: the configuration in force.
        name: name of the variant.
    """
    say(
        console,
        "Cross-entropy of the held-out harmful answers by weight, in nats per answer; lower is better:",
    )
    console.print(_table(report))
    say(
        console,
        f"{report.examples} answers to {report.prompts} prompts (effective number "
        f"{number(report.effective_examples)}), {report.held_out} of them held out; {report.steps} steps.",
    )
    if report.path is None:
        say(
            console,
            "No step gave the held-out answers a higher probability than both the target and the start: nothing was "
            "written. More harmful answers, or a smaller calibrate.learning_rate, may help.",
        )
        return
    say(console, f"Written to {report.path}.")
    for line in _next_step(config, name, report.path):
        say(console, line)


def _table(report: FitReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("under")
    table.add_column("nats per answer", justify="right", no_wrap=True)
    table.add_row("the target", _nats(report.cross_entropy_target))
    table.add_row("the start", _nats(report.cross_entropy_start))
    kept = f"step {report.kept_step}" + ("" if report.improved else ", not kept")
    table.add_row(kept, _nats(report.cross_entropy_kept), style="bold" if report.improved else None)
    return table


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _next_step(config: Config, name: str, path: Path) -> list[str]:
    """What to do with the new adapter."""
    for expert in config.experts:
        if isinstance(expert, LoraExpert) and expert.path.resolve() == path.resolve():
            return [
                f"Expert {expert.name!r} of the configuration points there: restarting 'riskmon run' takes it up."
            ]
    for expert in config.experts:
        if isinstance(expert, LoraExpert) and expert.name == name:
            return [
                f"To use it, point expert {name!r} of the configuration there:",
                f"  path: {path.resolve()}",
            ]
    settings = {"kind": "lora", "path": str(path.resolve()), "ladder": list(_LADDER)}
    return ["To use it, give the configuration this expert:", expert_snippet(config, (name, settings))]

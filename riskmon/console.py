"""What a person at a terminal sees: standard output as every command uses it, and the forecast.

The forecast is a table, or JSON lines for programs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from riskmon.publish.figures import HORIZONS, chance, number
from riskmon.records import Forecast, Horizon

_FILE_WIDTH = 120
NO_FORECAST = "no forecast yet: no sampled prompt has been estimated"


def print_forecast(
    forecasts: Sequence[Forecast], *, as_json: bool = False, console: Console | None = None
) -> None:
    """Write forecasts to standard output.

    Args:
        forecasts: as made by one forecast job.
        as_json: one JSON object a line instead of a table per harm.
        console: where a table is written.
    """
    if as_json:
        for forecast in forecasts:
            print(json.dumps(_as_json(forecast)))  # noqa: T201 - standard output is the product
        return
    console = console or standard_output()
    if not forecasts:
        console.print(NO_FORECAST)
    for harm in dict.fromkeys(forecast.harm for forecast in forecasts):
        own = [forecast for forecast in forecasts if forecast.harm == harm]
        console.print(forecast_table(harm, [forecast for forecast in own if forecast.horizon is Horizon.DAY]))
        totals = [forecast for forecast in own if forecast.stratum is None]
        console.print(outlook_table(totals))
        for sharper in dict.fromkeys(total.sharper for total in totals if total.horizon is Horizon.DAY):
            say(console, f"What would make it sharper: {sharper}.\n" if sharper else "")


def standard_output() -> Console:
    """A file or a pipe has no width of its own, and must not lose columns to a terminal's default."""
    # An id such as `rubric:guard:1f` must not be read as the emoji of that name.
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=_FILE_WIDTH)


def say(console: Console, text: str) -> None:
    """Write a line that is never broken, since it may hold a path to be copied, and never read as markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)


def forecast_table(harm: str, forecasts: Sequence[Forecast]) -> Table:
    """One harm's forecast by stratum, the total last."""
    table = Table(
        title=f"Harmful outputs expected in the next 24 hours: {harm}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="90% prediction interval of the count; P(any): of at least one; P(over): of more than the budget",
        caption_justify="left",
    )
    names = next((f.stratum.as_dict() for f in forecasts if f.stratum is not None), {})
    table.add_column(", ".join(names) or "stratum", overflow="fold")
    for heading in ("expected", "low", "high", "P(any)", "req/day", "mean p", "prompts", "hits"):
        table.add_column(heading, justify="right", no_wrap=True)
    for forecast in forecasts:
        if forecast.stratum is None:
            table.add_section()
        table.add_row(
            "total" if forecast.stratum is None else ", ".join(forecast.stratum.as_dict().values()) or "all",
            number(forecast.expected),
            number(forecast.lower),
            number(forecast.upper),
            chance(forecast.any_probability),
            number(forecast.requests),
            number(forecast.harm_probability),
            str(forecast.prompts),
            str(forecast.hits),
            style="bold" if forecast.stratum is None else None,
        )
    return table


def outlook_table(totals: Sequence[Forecast]) -> Table:
    """The totals of one harm, a line per horizon."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("all strata")
    for heading in (
        "expected",
        "50% interval",
        "90% interval",
        "99% interval",
        "P(any)",
        "P(over)",
        "requests",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for total in sorted(totals, key=lambda total: list(HORIZONS).index(total.horizon)):
        table.add_row(
            HORIZONS[total.horizon],
            number(total.expected),
            f"{number(total.lower_50)} to {number(total.upper_50)}",
            f"{number(total.lower)} to {number(total.upper)}",
            f"{number(total.lower_99)} to {number(total.upper_99)}",
            chance(total.any_probability),
            chance(total.over_budget_probability),
            number(total.requests),
        )
    return table


def _as_json(forecast: Forecast) -> dict[str, Any]:
    fields = {field.name: getattr(forecast, field.name) for field in dataclasses.fields(forecast)}
    return {
        **fields,
        "variance": None if forecast.variance is None else dataclasses.asdict(forecast.variance),
        "stratum": None if forecast.stratum is None else forecast.stratum.as_dict(),
        "made_at": forecast.made_at.isoformat(),
    }

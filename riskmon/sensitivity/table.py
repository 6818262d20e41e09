"""What a person sees of it: prompts by worst amplification, ids only."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from riskmon.publish.figures import number
from riskmon.records.sensitivity import PromptSensitivity


def ranked(rows: Sequence[PromptSensitivity]) -> list[PromptSensitivity]:
    """The most amplified first; where the amplification itself is unknown, what it is at least counts."""
    return sorted(rows, key=lambda row: row.worst_low if row.worst is None else row.worst, reverse=True)


def sensitivity_table(harm: str, rows: Sequence[PromptSensitivity]) -> Table:
    """One harm's prompts by worst amplification."""
    table = Table(
        title=f"Risk under harmless rewording, by worst amplification: {escape(harm)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="worst: the riskiest rewording's p over the prompt's own, with its 95% interval; log10 sd: spread of "
        "log10 p over rewordings, noise taken out; < is a bound",
        caption_justify="left",
    )
    table.add_column("prompt", overflow="fold")
    for heading in ("p", "mean p", "log10 sd", "worst", "low", "high", "rewordings", "with hits"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("riskiest", overflow="fold")
    for row in ranked(rows):
        table.add_row(
            escape(row.prompt_id),
            f"< {number(row.base_upper)}" if row.base_p is None else number(row.base_p),
            number(row.mean) if row.with_hits else f"< {number(row.mean_upper)}",
            number(row.log10_sd),
            number(row.worst),
            number(row.worst_low),
            number(float("inf") if row.worst_high is None else row.worst_high),
            str(row.variants),
            str(row.with_hits),
            escape(_kind(row)),
        )
    return table


def _kind(row: PromptSensitivity) -> str:
    """The riskiest rewording's kind and number, without the id that the first column shows."""
    return "" if row.worst_variant is None else row.worst_variant.removeprefix(f"{row.prompt_id}~")

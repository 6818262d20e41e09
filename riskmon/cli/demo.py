"""`riskmon demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A toy model made on the spot; under a minute.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="End by itself after so many seconds.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 9108,
) -> None:
    """Show the whole loop on an embedded broker and a small real model."""
    from riskmon.demo.tour import run_demo

    raise typer.Exit(run_demo(tiny=tiny, seconds=seconds, port=port))

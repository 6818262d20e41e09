"""A rich table as Markdown text, so that it reads in a terminal and on a page alike."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

_WIDTH = 240  # columns; wider than any table, since a folded cell would break it


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], names: Sequence[str]) -> str:
    """The table, columns padded to one width.

    Args:
        header: titles of the columns. rows: cells, as many.
        names: titles of the columns that hold words and are aligned to the left; figures stand to the right.
    """
    table = Table(box=MARKDOWN)
    for title in header:
        table.add_column(title, justify="left" if title in names else "right")
    for row in rows:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=_WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())

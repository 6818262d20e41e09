"""A table as Markdown text with padded columns, so that it reads in a terminal and on a page alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], names: Sequence[str]) -> str:
    """The table, columns padded to one width.

    Args:
        header: titles of the columns. rows: cells, as many.
        names: titles of the columns that hold words and are aligned to the left; figures stand to the right.
    """
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = [title in names for title in header]
    rule = [
        "-" * width if is_name else "-" * (width - 1) + ":"
        for width, is_name in zip(widths, left, strict=True)
    ]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join("| " + " | ".join(_padded(line, widths, left)) + " |" for line in lines)


def _padded(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    return [
        cell.ljust(width) if is_name else cell.rjust(width)
        for cell, width, is_name in zip(cells, widths, left, strict=True)
    ]

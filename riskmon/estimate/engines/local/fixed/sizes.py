"""Sizes that shapes are rounded up to, so that there are few of them.

Between two powers of two there are `parts` sizes: 2^k, 2^k (1 + 1/parts), ... Rounding up wastes at most 1/parts, and
sizes up to n come in about parts * log2(n) kinds.
"""

from __future__ import annotations

ROWS, ROOM, LENGTH = 8, 32, 64
"""Smallest sizes: rows behind a context, a row's own tokens, and tokens of a context."""


def round_up(n: int, *, least: int, parts: int = 1) -> int:
    """The smallest allowed size that is n or more.

    Args:
        n: at least 0.
        least: smallest size; a power of two, and a multiple of `parts`.
        parts: sizes between two powers of two; a power of two.

    >>> [round_up(n, least=8) for n in (0, 8, 9, 100)]
    [8, 8, 16, 128]
    >>> [round_up(n, least=8, parts=2) for n in (9, 13, 17, 25)]
    [12, 16, 24, 32]
    """
    if n <= least:
        return least
    step = (1 << ((n - 1).bit_length() - 1)) // parts
    return -(-n // step) * step


def round_down(n: int, *, least: int, parts: int = 1) -> int:
    """The largest allowed size that is n or less; n itself where it is below the smallest.

    >>> [round_down(n, least=8, parts=2) for n in (3, 8, 13, 100)]
    [3, 8, 12, 96]
    """
    if n < least:
        return n
    step = (1 << (n.bit_length() - 1)) // parts
    return n // step * step

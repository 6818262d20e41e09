"""Text that UTF-8 can carry: a producer may send lone surrogates in labels and ids, and JSON hands them on."""

from __future__ import annotations


def encodable(value: str) -> str:
    """The text with every lone surrogate replaced by a question mark."""
    return value.encode("utf-8", "replace").decode("utf-8")
